"""Rows of data sets: conversations with their provenance, and files of them as JSON lines."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from noria.errors import NoriaError
from noria.types import Label

__all__ = [
    "ROLES", "Message", "Row", "digest_of", "label_named", "parse_row", "read_rows",
    "write_rows",
]  # fmt: skip

Message = dict[str, Any]
"""One message of a chat: `role`, `content`, and for tools `tool_calls`, `tool_call_id`, `name`."""
ROLES = ("system", "user", "assistant", "tool")
_LONGEST_LINE = 256 * 1024 * 1024
_TEXTS = ("source", "owner", "licence", "consent", "language")
_CONSENTS = ("yes", "no")


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation that may be learned from, and where it came from."""

    id: str
    messages: list[Message]
    source: str = ""
    """`trace:ID`, or a file and line as `FILE:LINE`."""
    label: Label = Label.PUBLIC
    owner: str | None = None
    """The person whose conversation it is."""
    licence: str | None = None
    consent: str | None = None
    """Whether its owner allows learning from it: `yes`, `no`, or None where nobody said."""
    language: str | None = None
    tools: list[dict[str, Any]] | None = None
    """Definitions of the tools that the conversation may call, in OpenAI's form."""
    chosen: list[Message] | None = None
    """For a preference: the turns after `messages` that were preferred ..."""
    rejected: list[Message] | None = None
    """... and those that were not."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Other fields, kept as they came (`tags`, `judge`, `marks`, ...)."""

    @property
    def trace_id(self) -> str | None:
        """The recorded run that it was made of."""
        return self.source[6:] if self.source.startswith("trace:") else None

    def as_json(self) -> dict[str, Any]:
        """The row as a line of a file: four fields always, the others where they are known."""
        row: dict[str, Any] = {
            "id": self.id,
            "messages": self.messages,
            "source": self.source,
            "label": str(self.label),
        }
        for name in ("owner", "licence", "consent", "language", "tools", "chosen", "rejected"):
            if (value := getattr(self, name)) is not None:
                row[name] = value
        return row | {name: value for name, value in self.extra.items() if name not in row}


def digest_of(messages: Sequence[Message]) -> bytes:
    """Eight bytes that are the same for conversations that say the same."""
    said = hashlib.blake2b(digest_size=8)
    for message in messages:
        calls = orjson.dumps(message["tool_calls"]) if message.get("tool_calls") else b""
        content = message.get("content") or ""
        text = content.encode("utf-8", "replace") if isinstance(content, str) else b""
        for part in (str(message.get("role")).encode(), text, calls):
            said.update(len(part).to_bytes(4, "big") + part)
    return said.digest()


def label_named(value: object) -> Label:
    """Read a row's label. What is not understood hides: an unknown one is `restricted`."""
    if value is None:
        return Label.PUBLIC
    try:
        return Label.parse(value.strip()) if isinstance(value, str) else Label.RESTRICTED
    except ValueError:
        return Label.RESTRICTED


def parse_row(value: object) -> Row:
    """Make a row of a JSON value as `noria data clean` writes them.

    Raises:
        ValueError: it is not one; the message names the field.
    """
    if not isinstance(value, dict):
        raise ValueError("a row is a JSON object")
    messages = _messages(value.get("messages"), "messages", least=0 if "chosen" in value else 1)
    fields: dict[str, Any] = {}
    for name in _TEXTS:
        one = value.get(name)
        if one is not None and not isinstance(one, str):
            raise ValueError(f"{name} is not a text")
        if one is not None:
            fields[name] = one
    if fields.get("consent") not in (None, *_CONSENTS):
        raise ValueError("consent is not yes or no")
    tools = value.get("tools")
    if tools is not None and not (
        isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)
    ):
        raise ValueError("tools is not a list of objects")
    for name in ("chosen", "rejected"):
        if value.get(name) is not None:
            fields[name] = _messages(value[name], name)
    if (fields.get("chosen") is None) != (fields.get("rejected") is None):
        raise ValueError("a preference has both chosen and rejected")
    known = {"id", "messages", "label", "tools", "chosen", "rejected", *_TEXTS}
    identity = value.get("id")
    return Row(
        id=str(identity) if identity not in (None, "") else digest_of(messages).hex(),
        messages=messages,
        label=label_named(value.get("label")),
        tools=tools,
        extra={name: one for name, one in value.items() if name not in known},
        **fields,
    )


def _messages(value: object, name: str, least: int = 1) -> list[Message]:
    if not isinstance(value, list) or len(value) < least:
        raise ValueError(f"{name} is not a list of messages")
    for number, one in enumerate(value):
        if not isinstance(one, dict):
            raise ValueError(f"{name}[{number}] is not an object")
        if one.get("role") not in ROLES:
            raise ValueError(f"{name}[{number}].role is not one of {', '.join(ROLES)}")
        content = one.get("content")
        if not isinstance(content, str) and not (content is None and one.get("tool_calls")):
            raise ValueError(f"{name}[{number}].content is not a text")
    return value


def read_rows(path: Path) -> Iterator[Row]:
    """Read a file of rows, as `noria data clean` writes it, one row at a time.

    Raises:
        NoriaError: the file cannot be read, or a line is not a row; the message names it.
    """
    try:
        file = path.open("rb")
    except OSError as unreadable:
        raise NoriaError(f"{path} cannot be read: {unreadable.strerror}.") from None
    with file:
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            try:
                yield parse_row(orjson.loads(line))
            except ValueError as wrong:
                raise NoriaError(
                    f"{path}, line {number} is not a row of a data set: {wrong}.",
                    "`noria data clean IN -o OUT.jsonl` makes a file of rows out of an export.",
                ) from None


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write a file of rows, whole or not at all.

    Returns:
        The number of rows.
    """
    fresh = path.with_name(f"{path.name}.new")
    written = 0
    try:
        with fresh.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            for row in rows:
                file.write(orjson.dumps(row.as_json()) + b"\n")
                written += 1
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    return written
