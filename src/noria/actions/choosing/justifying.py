"""Why an argument has its value. What has no source is left out, or asked for.

A model says values; it does not say where they come from, since it could invent that as well. Each
value is looked for in the words of the request, among the defaults of the documentation, and in
passages of the documentation that speak of what the request speaks of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from noria.actions.choosing.words import number_at, split_words
from noria.actions.operation import Operation, Source

__all__ = ["Justified", "justify"]

_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SENTENCE = re.compile(r"(?<=[.;\n])\s+")
_SMALL = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "to",
        "in",
        "on",
        "at",
        "for",
        "and",
        "or",
        "with",
        "by",
        "from",
        "is",
        "are",
        "be",
        "as",
        "it",
        "this",
        "that",
        "all",
        "any",
        "me",
        "my",
        "i",
        "please",
        "can",
        "you",
        "we",
        "us",
        "our",
        "if",
        "not",
        "no",
        "use",
        "using",
        "set",
        "get",
        "make",
        "new",
        "value",
        "values",
        "name",
        "one",
    ]
)
_FACTORS = {
    "second": 1, "seconds": 1, "minute": 60, "minutes": 60, "hour": 3600, "hours": 3600,
    "day": 86400, "days": 86400, "week": 604800, "weeks": 604800, "ms": 0.001,
    "k": 1e3, "thousand": 1e3, "million": 1e6, "billion": 1e9, "percent": 0.01,
    "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2**10, "mib": 2**20, "gib": 2**30,
    "tib": 2**40, "km": 1000, "kilometers": 1000, "dozen": 12,
}  # fmt: skip
"""What a number may be multiplied with because of the word after it."""
_YES = frozenset(["true", "yes", "on", "enable", "enabled", "with", "include", "including"])
_NO = frozenset(
    ["false", "no", "off", "disable", "disabled", "without", "exclude", "excluding", "not"]
)


class Justified:
    """The words of a request, as what may justify values."""

    def __init__(self, request: str) -> None:
        self.request = request
        self.low = request.lower()
        self.words = split_words(request)
        self._parts = list(_WORD.finditer(request))
        words = [word for word in _WORD.findall(request) if word.lower() not in _SMALL]
        self.stems = {_stem(word.lower()): word for word in words}
        """The words that say something, by their stems."""
        self.numbers: dict[float, str] = {}
        for at in range(len(self.words)):
            found = number_at(self.words, at)
            if found is None:
                continue
            number, length = float(found[0]), found[1]
            last = min(at + length, len(self.words) - 1)
            text = request[self.words[at].start : self.words[at + length - 1].end]
            self.numbers.setdefault(number, text)
            if self._minus(at):
                self.numbers.setdefault(-number, f"-{text}")
            factor = _FACTORS.get(self.words[last].low) if last >= at + length else None
            if factor:
                longer = request[self.words[at].start : self.words[last].end]
                self.numbers.setdefault(number * factor, longer)
        for match in re.finditer(r"(?<![\w.-])-?\d+(?:\.\d+)?(?!\w)", request):
            self.numbers.setdefault(float(match[0]), match[0])

    def find(self, value: str) -> str | None:
        """The whole words that are this value but for case and punctuation; None where none are."""
        low, size = value.lower(), len(value)
        at = self.low.find(low)
        while at >= 0:
            around = self.low[max(0, at - 1) : at], self.low[at + size : at + size + 1]
            ends = low[0], low[-1]
            if not any(a.isalnum() and b.isalnum() for a, b in zip(around, ends, strict=True)):
                return self.request[at : at + size]
            at = self.low.find(low, at + 1)
        return self._joined(_plain(value))

    def _joined(self, plain: str) -> str | None:
        for first in range(len(self._parts)):
            joined = ""
            for last in range(first, len(self._parts)):
                joined += self._parts[last][0].lower()
                if not plain.startswith(joined):
                    break
                if joined == plain:
                    return self.request[self._parts[first].start() : self._parts[last].end()]
        return None

    def _minus(self, at: int) -> bool:
        start = self.words[at].start
        before = self.request[max(0, start - 1) : start]
        return before in ("-", "−") or (at > 0 and self.words[at - 1].low in ("minus", "negative"))


def justify(operation: Operation, name: str, value: Any, by: Justified) -> Source | None:
    """The source of an argument's value; None where there is none.

    Args:
        operation: whose argument it is.
        name: the parameter.
        value: what was said.
        by: the request.
    """
    schema = (operation.parameters.get("properties") or {}).get(name)
    schema = schema if isinstance(schema, dict) else {}
    if (found := _in_request(name, value, schema, by)) is not None:
        return found
    where = f"{operation.id}, parameter {name}"
    if "default" in schema and schema["default"] == value:
        return Source("default", f"the default is {value!r}", where)
    if "const" in schema and schema["const"] == value:
        return Source("documentation", f"it is always {value!r}", where)
    if name in operation.starts.values() or not isinstance(value, str):
        return None  # What is started comes from the request and the offers alone.
    if value in (schema.get("enum") or ()):
        return _in_documentation(operation, schema, value, by, where)
    return None


def _in_request(name: str, value: Any, schema: Mapping[str, Any], by: Justified) -> Source | None:
    match value:
        case bool():
            return _truth(name, value, by)
        case int() | float():
            text = by.numbers.get(float(value))
            return _said(text) if text is not None else None
        case str():
            return _text(value, schema, by)
        case list():
            return _all([_in_request(name, one, {}, by) for one in value])
        case dict():
            return _all([_in_request(key, one, {}, by) for key, one in value.items()])
    return None


def _said(text: str) -> Source:
    return Source("request", text)


def _all(sources: list[Source | None]) -> Source | None:
    """Of a list or an object: every part must have a source."""
    if not sources or None in sources:
        return None
    texts = [source.text for source in sources if source is not None]
    return _said(", ".join(dict.fromkeys(texts)))


def _text(value: str, schema: Mapping[str, Any], by: Justified) -> Source | None:
    """A free text stands in the request as it is; of a closed list its words may be inflected."""
    if not value.strip():
        return None
    if (found := by.find(value)) is not None:
        return _said(found)
    if value not in (schema.get("enum") or ()):
        return None
    stems = [_stem(word) for word in _WORD.findall(_CAMEL.sub(" ", value).lower())]
    telling = [stem for stem in stems if stem not in _SMALL]
    if telling and all(stem in by.stems or _number_of(stem, by) for stem in telling):
        return _said(" ".join(by.stems.get(stem, stem) for stem in telling))
    return None


def _number_of(stem: str, by: Justified) -> bool:
    return stem.isdigit() and float(stem) in by.numbers


def _truth(name: str, value: bool, by: Justified) -> Source | None:
    """A switch is said where the words speak of its name."""
    parts = [_stem(part) for part in _WORD.findall(_CAMEL.sub(" ", name).lower().replace("_", " "))]
    telling = [part for part in parts if part not in _SMALL and part not in _YES]
    words = set(_WORD.findall(by.low))
    named = bool(telling) and any(part in by.stems for part in telling)
    if named and value != bool(words & _NO):
        return _said(" ".join(by.stems[part] for part in telling if part in by.stems))
    if (words & (_YES if value else _NO)) and named:
        return _said(name)
    return None


def _in_documentation(
    operation: Operation, schema: Mapping[str, Any], value: str, by: Justified, where: str
) -> Source | None:
    """A value of a closed list, where a passage that names it speaks of what the request does."""
    text = f"{schema.get('description', '')}\n{operation.documentation}"
    for passage in _SENTENCE.split(text):
        low = passage.lower()
        if value.lower() not in low:
            continue
        shared = {_stem(word) for word in _WORD.findall(low)} & by.stems.keys()
        if len(shared) >= 2:
            return Source("documentation", passage.strip()[:400], where)
    return None


def _plain(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


def _stem(word: str) -> str:
    """A word without the endings of English: `shoes` and `shoe`, `creating` and `creat`."""
    for ending in ("ing", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word.removesuffix("e") if len(word) > 3 else word
