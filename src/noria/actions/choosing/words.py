"""The words of a request: where each stands, and the numbers among them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from noria.actions.operation import Source

__all__ = ["Word", "number_at", "said", "split_words"]

# A name keeps its dots, dashes and underscores; a number its decimal point and its thousands.
_WORD = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|[^\W_]+(?:[._-]+[^\W_]+)*|[$€£×]", re.UNICODE)
_TIMES = re.compile(r"(\d+)[xX×](?=[^\W_])(?!l)(?!large)(.+)")
_TIMES_ALONE = re.compile(r"(\d+)[xX×]")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")

_UNITS = {
    word: value
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_TENS = {
    word: 10 * value
    for value, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2
    )
}
_ARTICLES = frozenset({"a", "an", "single", "another"})
_GROUPS = {"dozen": 12, "pair": 2, "couple": 2, "score": 20, "trio": 3, "quartet": 4}


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a request."""

    text: str
    """As it was written."""
    low: str
    """In small letters."""
    start: int
    """Its place in the request, in characters."""
    end: int
    joined: bool = False
    """It was one word with the next one: the 8 of `8xA100` and of `8-GPU`."""


def split_words(text: str, names: frozenset[str] = frozenset()) -> list[Word]:
    """The words of a text, in order.

    Args:
        text: the request.
        names: names in small letters that stay whole although they have dashes in them. What is no
            such name and begins or ends with a number is split there: `8xA100`, `A100-80GB`.
    """
    found: list[Word] = []
    for match in _WORD.finditer(text):
        _add(found, match[0], match.start(), names)
    return found


def _add(found: list[Word], text: str, start: int, names: frozenset[str]) -> None:
    low = text.lower()
    if low not in names:
        if alone := _TIMES_ALONE.fullmatch(text):  # `8x A100`
            found.append(Word(alone[1], alone[1], start, start + len(text), joined=True))
            return
        if times := _TIMES.fullmatch(text):
            end = start + len(times[1])
            found.append(Word(times[1], times[1], start, end, joined=True))
            _add(found, times[2], end + 1, names)
            return
        parts = re.split(r"([-_])", text)
        if len(parts) > 1 and _falls_apart(low, names):
            at = start
            for part in parts:
                if part not in "-_":
                    found.append(Word(part, part.lower(), at, at + len(part), joined=True))
                at += len(part)
            last = found[-1]
            found[-1] = Word(last.text, last.low, last.start, last.end)
            return
    found.append(Word(text, low, start, start + len(text)))


def _falls_apart(low: str, names: frozenset[str]) -> bool:
    """Whether a word with dashes is several: one part is a number in words or digits, or a known
    name, and the whole does not look like a region (`us-west-9`) or an instance type."""
    parts = re.split(r"[-_]", low)
    if "." in low:
        return False
    if _NUMBER.fullmatch(parts[0]) or parts[0] in _UNITS or parts[0] in _TENS:
        return True
    return parts[0] in names or parts[-1] in names


def number_at(words: list[Word], at: int) -> tuple[Decimal, int] | None:
    """The number that begins at a word, and how many words it has; None where none does.

    Digits, words up to the thousands, `a` and `an`, and groups: `a dozen`, `half a dozen`,
    `a pair of`, `twenty-four`, `two hundred and six`.
    """
    low = words[at].low
    following = words[at + 1].low if at + 1 < len(words) else ""
    if low == "half" and [word.low for word in words[at + 1 : at + 3]] == ["a", "dozen"]:
        return Decimal(6), 3
    if low in _GROUPS:
        return _of(words, at, Decimal(_GROUPS[low]), 1)
    digits = low.replace(",", "")
    if _NUMBER.fullmatch(digits):
        number = Decimal(digits)
        if following in _GROUPS:
            return _of(words, at, number * _GROUPS[following], 2)
        return number, 1
    if low in _UNITS or low in _TENS:
        return _spelled(words, at)
    if low in _ARTICLES:
        if following in _GROUPS:
            return _of(words, at, Decimal(_GROUPS[following]), 2)
        if following in ("hundred", "thousand"):
            return _spelled(words, at + 1, 1, 1)
        return Decimal(1), 1
    return None


def _of(words: list[Word], at: int, number: Decimal, length: int) -> tuple[Decimal, int]:
    """A group takes its `of` with it."""
    after = at + length
    return number, length + (after < len(words) and words[after].low == "of")


def _spelled(words: list[Word], at: int, part: int = 0, length: int = 0) -> tuple[Decimal, int]:
    total = 0
    while at < len(words):
        low = words[at].low
        if low in _TENS and part % 100 == 0:
            part += _TENS[low]
        elif low in _UNITS and ((part % 10 == 0 and part % 100 != 10) or part == 0):
            part += _UNITS[low]
        elif low == "hundred" and 0 < part < 100:
            part *= 100
        elif low == "thousand" and part:
            total, part = total + part * 1000, 0
        elif low == "dozen" and part:
            return _of(words, at, Decimal(part * 12), length + 1)
        elif low != "and" or not length or not _goes_on(words, at, part):
            break
        at, length = at + 1, length + 1
    return Decimal(total + part), length


def _goes_on(words: list[Word], at: int, part: int) -> bool:
    following = words[at + 1].low if at + 1 < len(words) else ""
    return part >= 100 and part % 100 == 0 and (following in _UNITS or following in _TENS)


def said(text: str, words: list[Word], first: int, last: int) -> Source:
    """The words from `first` to `last`, both included, as the source of an argument."""
    start, end = words[first].start, words[last].end
    return Source("request", text[start:end], f"characters {start} to {end}")
