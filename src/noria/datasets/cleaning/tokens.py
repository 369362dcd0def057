"""How many tokens a text is, by the vocabulary of the model that is to learn it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

from noria.errors import NoriaError
from noria.retrieval.search.tokens import estimate_tokens

__all__ = ["BytePairs", "token_counter"]

# GPT-2's cut of a text into words; single digits as SmolLM's and later vocabularies have them.
_WORDS = re.compile(r"'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+|\d| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
_MOST_WORDS = 200_000


class BytePairs:
    """Counts tokens by the merges of a byte-level BPE vocabulary (Sennrich et al. 2016).

    Args:
        merges: the pairs in order of their rank, as `left right` in GPT-2's letters for bytes.
    """

    def __init__(self, merges: Sequence[str]) -> None:
        self._ranks = {tuple(merge.split(" ", 1)): rank for rank, merge in enumerate(merges)}
        self._known: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        """The number of tokens of a text."""
        known, total = self._known, 0
        for word in _WORDS.findall(text):
            count = known.get(word)
            if count is None:
                if len(known) >= _MOST_WORDS:
                    known.clear()
                count = known[word] = self._count(word)
            total += count
        return total

    def _count(self, word: str) -> int:
        parts = [_LETTERS[byte] for byte in word.encode("utf-8", "replace")]
        if len(parts) > 512:  # a run without any gap: count it in pieces
            return sum(self._count(word[at : at + 128]) for at in range(0, len(word), 128))
        last = len(self._ranks)
        while len(parts) > 1:
            ranks = [self._ranks.get(pair, last) for pair in pairwise(parts)]
            best = min(ranks)
            if best == last:
                break
            at = ranks.index(best)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return len(parts)


def _letters() -> list[str]:
    """GPT-2 writes each byte as a printable character."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, others = {byte: chr(byte) for byte in printable}, 0
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(256 + others)
            others += 1
    return [letters[byte] for byte in range(256)]


_LETTERS = _letters()


def token_counter(tokenizer: str | None) -> Callable[[str], int]:
    """A function that counts the tokens of a text.

    Args:
        tokenizer: `local:NAME`, the path of a GGUF file or of a `tokenizer.json` (or a folder with
            one); None estimates, on the high side for prose.

    Raises:
        NoriaError: there is no such vocabulary, or it has a form that is not known here.
    """
    if tokenizer is None:
        return estimate_tokens
    if tokenizer.startswith("local:"):
        from noria.models.local import LOCAL
        from noria.models.weights import Weights

        name = tokenizer.removeprefix("local:")
        if name not in LOCAL:
            raise NoriaError(f"There is no model {tokenizer}.", "`noria model ls` lists them.")
        return _of_gguf(Weights().locate(name))
    path = Path(tokenizer)
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.is_file():
        raise NoriaError(
            f"There is no tokenizer {tokenizer}.",
            "Name a local model (local:smollm2), a GGUF file, or a tokenizer.json.",
        )
    return _of_gguf(path) if path.suffix == ".gguf" else _of_json(path)


def _of_gguf(path: Path) -> BytePairs:
    from gguf import GGUFReader

    fields: Mapping[str, Any] = GGUFReader(str(path)).fields
    merges = fields.get("tokenizer.ggml.merges")
    if merges is None:
        raise _unknown(path)
    return BytePairs([bytes(merges.parts[at]).decode() for at in merges.data])


def _of_json(path: Path) -> BytePairs:
    try:
        model = orjson.loads(path.read_bytes())["model"]
        merges = model["merges"]
    except (ValueError, KeyError, TypeError):
        raise _unknown(path) from None
    return BytePairs([one if isinstance(one, str) else " ".join(one) for one in merges])


def _unknown(path: Path) -> NoriaError:
    return NoriaError(
        f"The vocabulary of {path} is not a byte-level BPE, which is all that is counted here.",
        "Leave --tokenizer out: tokens are then estimated, on the high side.",
    )
