"""What goes into an index and what comes out of a search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from noria.types import Label

__all__ = ["Document", "Failure", "Original", "Unreadable", "read_grants", "read_label"]


@dataclass(frozen=True, slots=True)
class Document:
    """A passage that a search found, with the document it comes from. `str()` of it is how a
    prompt shows it."""

    id: str
    """The document's: a path, an address, or what the source calls it."""
    text: str
    """The passage."""
    title: str
    source: str
    """Where a person can look it up: a path or an address."""
    score: float
    """Above 0, and 1 for what both the words and the meaning put first."""
    label: Label
    index: str = ""
    """The index it was found in."""
    chunk: int = 0
    """The number of the passage in its document, from 0."""

    def __str__(self) -> str:
        where = f" ({self.source})" if self.source and self.source != self.title else ""
        return f"{self.title}{where}\n{self.text}"


@dataclass(frozen=True, slots=True)
class Original:
    """A document as its source has it, before it is split.

    A callable source yields these, or mappings with the same fields.
    """

    id: str
    """Names the document in its index, and stays the same when its text changes."""
    text: str
    """Plain text or Markdown."""
    title: str = ""
    source: str = ""
    label: Label = Label.PUBLIC
    """As the document itself says, in its front matter or its row."""
    grants: frozenset[str] = frozenset()
    """The groups of which a reader must be in one, as the document itself says; none: everyone."""

    @classmethod
    def read(cls, given: object) -> Original:
        """What a callable source yielded.

        Raises:
            Unreadable: a field is missing or is not of its type.
        """
        if isinstance(given, Original):
            return given
        if not isinstance(given, Mapping):
            raise Unreadable(f"a source yields Original or mappings, not {type(given).__name__}")
        known = {field.name for field in fields(cls)}
        for name in given:
            if name not in known:
                raise Unreadable(f"{name}: a document has no such field; it has: "
                                 f"{', '.join(sorted(known))}")  # fmt: skip
        texts: dict[str, Any] = {}
        for name in ("id", "text", "title", "source"):
            value = given.get(name)
            if value is None and name in ("title", "source"):
                value = ""
            if not isinstance(value, str) or (name == "id" and not value):
                raise Unreadable(
                    f"{name}: must be a text" + (" that is not empty" * (name == "id"))
                )
            texts[name] = value
        return cls(
            **texts, label=read_label(given.get("label")), grants=read_grants(given.get("grants"))
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that could not be read, and why. The others go on."""

    id: str
    reason: str


class Unreadable(Exception):
    """A document cannot be read; the message says why."""


def read_label(value: object) -> Label:
    """A label as a document, a callable or an index gives it; None is public.

    Raises:
        Unreadable: it is not a label. Whoever wrote it meant to keep something back.
    """
    if value is None:
        return Label.PUBLIC
    if isinstance(value, Label):
        return value
    if not isinstance(value, str):
        raise Unreadable(f"label: must be a text, not {type(value).__name__}")
    try:
        return Label.parse(value.strip())
    except ValueError as unknown:
        raise Unreadable(f"label: {unknown}") from None


def read_grants(value: object) -> frozenset[str]:
    """The groups that a document, a callable or an index names; None is none.

    Raises:
        Unreadable: they are not names of groups.
    """
    if value is None:
        return frozenset()
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, Iterable) or isinstance(value, (bytes, Mapping)):
        raise Unreadable("grants: must be a list of groups")
    groups = list(value)
    for group in groups:
        if not isinstance(group, str) or not group.strip():
            raise Unreadable(f"grants: {group!r} is not the name of a group")
        if group.strip() == "*":
            raise Unreadable("grants: * is not a group; leave grants out for everyone")
    return frozenset(group.strip() for group in groups)
