"""What pages put round an answer, and answers that nobody should learn."""

from __future__ import annotations

import re

from noria.evals.arena.leaks import refuses

__all__ = ["fault_of_answer", "without_boilerplate"]

_HEAD = re.compile(
    r"\A\s*(?:\d+[ ]/[ ]\d+|Share[ ]Prompt|ChatGPT[ ]said:|You[ ]said:"
    r"|Copy\d*[ ]chars[ ]/[ ]\d+[ ]words)[ \t]*(?:\n|\Z)"
)
_TAIL = re.compile(
    r"""\s*^[ \t]*(?:
      \d+[ ]/[ ]\d+ | Share[ ]Prompt | Copy\d*[ ]chars[ ]/[ ]\d+[ ]words
    | (?:Regenerate[ ]response|Continue[ ]generating|Stop[ ]generating)
    )[ \t]*\Z""",
    re.VERBOSE | re.MULTILINE,
)
_TAIL_LENGTH = 400
_NAMES_ITSELF = re.compile(
    r"\bas\ an\ (?:ai|artificial\ intelligence)(?:\ (?:language\ )?(?:model|assistant))?\b"
    r"|\bas\ a\ (?:large\ )?language\ model(?=,|\ (?:i|my|trained\ by\ openai)\b)"
    r"|\bi(?:['’]m|\ am)\ (?:just\ |only\ )?an?\ ai\ (?:language\ )?model\b",
    re.IGNORECASE,
)
_FAILED = re.compile(
    r"\A\s*(?:network error|something went wrong|an error occurred|too many requests|"
    r"internal server error|request timed out|null|undefined|\[?error\]?)\W*\Z",
    re.IGNORECASE,
)
_BROKEN_OFF = re.compile(
    r"\n[ \t!]*\[?(?:network error|An error occurred\. Either the engine.*)\]?\s*\Z", re.IGNORECASE
)
_UNFINISHED = re.compile(r"(?:[,;:(\[{]|\b(?:the|a|an|and|or|of|to|with|for|in|is|are))\s*\Z")
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})", re.MULTILINE)
_FEWEST_FOR_TRUNCATION = 200
_OPENING = 400
"""Characters in which a refusal stands: further on, "I cannot help but ..." is none."""
_NAMES = ("as an ai", "as an artificial", "language model", " an ai ")


def without_boilerplate(text: str) -> str:
    """A turn without the lines that a chat page adds to it."""
    while (head := _HEAD.match(text)) is not None:
        text = text[head.end() :]
    text = text.rstrip()
    while (tail := _TAIL.search(text, max(0, len(text) - _TAIL_LENGTH))) is not None:
        text = text[: tail.start()]
    return text.strip()


def fault_of_answer(text: str) -> str | None:
    """Why an answer should not be learned: `boilerplate` (an error of the page), `refusal`,
    `identity` ("as an AI model ..."), `truncated`; None where nothing is wrong.

    An answer is taken for truncated where the page says that it broke off, where a fence of code
    is open at its end, or where a long one stops after a comma, a bracket or a word that cannot end
    a sentence.
    """
    if _FAILED.match(text):
        return "boilerplate"
    if refuses(text[:_OPENING]):
        return "refusal"
    lowered = text.lower()
    if any(hint in lowered for hint in _NAMES) and _NAMES_ITSELF.search(text):
        return "identity"
    if _BROKEN_OFF.search(text, max(0, len(text) - _TAIL_LENGTH)) or _open_fence(text):
        return "truncated"
    if len(text) >= _FEWEST_FOR_TRUNCATION and _UNFINISHED.search(text[-40:]):
        return "truncated"
    return None


def _open_fence(text: str) -> bool:
    if "```" not in text and "~~~" not in text:
        return False
    opened = ""
    for found in _FENCE.finditer(text):
        fence = found[1]
        if not opened:
            opened = fence
        elif fence[0] == opened[0] and len(fence) >= len(opened):
            opened = ""
    return bool(opened)
