"""Instructions that are no use, as self-instruct's and Alpaca's authors filter them."""

from __future__ import annotations

import re

__all__ = ["fault_of_instruction"]

_WORDS_LEAST, _WORDS_MOST = 4, 150
_UNSERVABLE = re.compile(
    r"\b(?:image|images|graph|graphs|picture|pictures|file|files|map|maps|draw|plot|go to|video"
    r"|audio|music|flowchart|diagram|photo|photos|screenshot)\b",
    re.IGNORECASE,
)


def fault_of_instruction(text: str) -> str | None:
    """Why an instruction is left out; None where nothing is wrong with its form.

    `too_short` and `too_long` (3 words or fewer, over 150), `unservable` (it names what a text
    model can neither see nor make), `form` ("Write a program ...", which makes the model echo,
    or a beginning that is a mark or no ASCII character).
    """
    words = text.split()
    if len(words) < _WORDS_LEAST:
        return "too_short"
    if len(words) > _WORDS_MOST:
        return "too_long"
    if _UNSERVABLE.search(text):
        return "unservable"
    if text.startswith("Write a program") or not text[0].isascii() or not text[0].isalnum():
        return "form"
    return None
