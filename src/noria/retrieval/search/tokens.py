"""How many tokens a text will take, without the model's own tokenizer.

The estimate counts pieces as byte-pair and WordPiece vocabularies tend to cut them: up to seven
letters of a word, two digits, a mark, and each character of a script that has no spaces. It errs on
the high side for prose.
"""

from __future__ import annotations

import re

__all__ = ["PIECES", "cut", "estimate_tokens"]

PIECES = re.compile(
    r"[A-Za-z]{1,7}|[0-9]{1,2}|[^\W\d_A-Za-z\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]{1,3}|\S"
)
"""What counts as one token."""


def estimate_tokens(text: str) -> int:
    """About how many tokens a text is."""
    return len(PIECES.findall(text))


def cut(text: str, tokens: int) -> str:
    """The beginning of a text, of at most so many tokens, ending between words where it can."""
    end = len(text)
    for count, piece in enumerate(PIECES.finditer(text)):
        if count == tokens:
            end = piece.start()
            break
    else:
        return text
    kept = text[:end]
    if end and not text[end].isspace() and not kept[-1].isspace():
        space = max(kept.rfind(" "), kept.rfind("\n"))
        kept = kept[:space] if space > 0 else kept
    return kept.rstrip()
