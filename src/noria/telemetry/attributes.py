"""Reading the attributes of a foreign span, in which anything may stand under any name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

__all__ = [
    "MOST_LISTED",
    "count_of",
    "dicts",
    "dumped",
    "first",
    "listed",
    "number_of",
    "parsed",
    "text_of",
    "words_of",
]

MOST_LISTED = 1_000
"""Messages of one call, parts of one message, texts of one embedding."""
_MOST_WORDS = 200
_MOST_TOKENS = 2**40


def first(found: Mapping[str, Any], of: Iterable[str]) -> Any:
    """The first of these that is there."""
    return next((found[name] for name in of if found.get(name) is not None), None)


def listed(found: Mapping[str, Any], beginning: str) -> list[dict[str, Any]]:
    """The entries of a list that was flattened to `BEGINNING0.name`, `BEGINNING1.name`, ..."""
    entries: dict[int, dict[str, Any]] = {}
    for name, value in found.items():
        if not name.startswith(beginning):
            continue
        number, _, rest = name[len(beginning) :].partition(".")
        if number.isascii() and number.isdigit() and len(number) < 7:
            entries.setdefault(int(number), {})[rest] = value
    return [entries[number] for number in sorted(entries)[:MOST_LISTED]]


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none where it is no list."""
    if not isinstance(value, list):
        return []
    return [one for one in value[:MOST_LISTED] if isinstance(one, dict)]


def parsed(value: Any) -> Any:
    """JSON in a text as what it says; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def text_of(value: object) -> str:
    """A text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else dumped(value).decode()


def dumped(value: object) -> bytes:
    """JSON; empty for None."""
    try:
        return b"" if value is None else orjson.dumps(value)
    except orjson.JSONEncodeError:
        return b'"nested too deeply to be kept"'


def words_of(found: Mapping[str, Any], of: Iterable[str]) -> str | None:
    """The first of these that is a text with something in it."""
    for name in of:
        value = found.get(name)
        if isinstance(value, str) and value:
            return value[:_MOST_WORDS]
    return None


def number_of(found: Mapping[str, Any], of: Iterable[str]) -> float | None:
    """The first of these that is a finite number and not below 0."""
    for name in of:
        value = found.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            number = float(value)
            if 0 <= number < float("inf"):
                return number
    return None


def count_of(found: Mapping[str, Any], of: Iterable[str]) -> int | None:
    """The first of these that is a number, as tokens are counted."""
    number = number_of(found, of)
    return None if number is None else min(int(number), _MOST_TOKENS)
