"""What went in and out of a span, made ready to be read: messages, tool calls, errors, JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from markupsafe import escape

__all__ = ["Block", "Field", "Room", "ToolCall", "fields", "pretty", "read"]

_LONGEST = 12_000
"""Bytes of one text that a page shows. The whole is behind the link to the raw JSON."""
_MOST_FIELDS = 40
_MOST_BLOCKS = 60


class Room:
    """How many bytes of text a page still has room for, as they are once they are escaped."""

    def __init__(self, size: int = 36_000) -> None:
        self._left = size

    def take(self, text: str, longest: int = _LONGEST) -> tuple[str, int]:
        """As much of a text as there is room for, and the number of characters left out."""
        allowed = min(longest, self._left)
        shown = text[:allowed]
        while (size := len(escape(shown).encode("utf-8", "replace"))) > allowed:
            # An escaped character is up to five, one of another script up to four.
            shown = shown[: min(len(shown) - 1, len(shown) * allowed // size)]
        self._left -= size
        return shown, len(text) - len(shown)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model wants made."""

    name: str
    id: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Field:
    """A named value that went in or out."""

    name: str
    text: str
    cut: int
    """Characters that were left out at the end."""
    is_json: bool = False
    """It is not a text of its own but written as JSON."""


@dataclass(frozen=True, slots=True)
class Block:
    """One message."""

    role: str
    text: str
    note: str | None = None
    """What is worth knowing beside the role: a name, the call that a tool answers."""
    calls: list[ToolCall] = field(default_factory=list)
    cut: int = 0
    """Characters that were left out at the end."""


def read(
    request: bytes | None, response: bytes | None, room: Room
) -> tuple[list[Block], list[Block]]:
    """The messages that were sent and those that came back. Whatever is not understood is left
    to the raw JSON."""
    asked, answered = _object(request), _object(response)
    messages = [one for one in _list(asked.get("messages")) if isinstance(one, dict)]
    # What came back is read first: there must be room for it.
    received = _received(answered, room)
    sent = [_message(one, room) for one in messages[-_MOST_BLOCKS:]]
    if len(messages) > _MOST_BLOCKS:
        left_out = len(messages) - _MOST_BLOCKS
        sent.insert(0, Block("earlier", f"{left_out} earlier messages are in the raw JSON."))
    if not sent and "input" in asked:
        inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        if inputs and not all(isinstance(one, str) for one in inputs):
            inputs = [orjson.dumps(asked["input"]).decode()]
        sent = [_block("input", str(one), room) for one in inputs[:_MOST_BLOCKS]]
    return sent, received


def _received(answered: dict[str, Any], room: Room) -> list[Block]:
    received = []
    for choice in _list(answered.get("choices")):
        if isinstance(choice, dict) and isinstance(choice.get("message"), dict):
            finish = choice.get("finish_reason")
            note = f"finished: {finish}" if finish and finish != "stop" else None
            received.append(_message(choice["message"], room, note))
    data = _list(answered.get("data"))
    if data and isinstance(data[0], dict) and "embedding" in data[0]:
        vector = data[0]["embedding"]
        size = f" of {len(vector)} dimensions" if isinstance(vector, list) else ""
        plural = "s" if len(data) > 1 else ""
        received.append(_block("output", f"{len(data)} vector{plural}{size}", room))
    return received


def fields(body: bytes | None, room: Room) -> list[Field]:
    """The members of a JSON object by name; any other value as one without a name."""
    if not body:
        return []
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return [Field("", *room.take(body.decode("utf-8", "replace")))]
    if not isinstance(value, dict):
        return [_field("", value, room)]
    return [_field(name, one, room) for name, one in list(value.items())[:_MOST_FIELDS]]


def pretty(body: bytes | None, room: Room) -> tuple[str, int]:
    """JSON with indents (other text as it is), and how many characters were left out."""
    if body is None:
        return "", 0
    return room.take(_indented(body))


def _field(name: str, value: object, room: Room) -> Field:
    if isinstance(value, str):
        return Field(name, *room.take(value))
    written = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    return Field(name, *room.take(written), is_json=True)


def _indented(body: bytes) -> str:
    try:
        return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return body.decode("utf-8", "replace")


def _message(message: dict[str, Any], room: Room, note: str | None = None) -> Block:
    calls = []
    for call in _list(message.get("tool_calls")):
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            arguments = pretty(str(function.get("arguments") or "").encode(), room)[0]
            calls.append(ToolCall(str(function.get("name")), str(call.get("id", "")), arguments))
    if message.get("tool_call_id"):
        note = f"answers {message['tool_call_id']}"
    elif message.get("name"):
        note = str(message["name"])
    text = _text(message.get("content")) or str(message.get("refusal") or "")
    return _block(str(message.get("role", "assistant")), text, room, note, calls)


def _block(
    role: str, text: str, room: Room, note: str | None = None, calls: list[ToolCall] | None = None
) -> Block:
    shown, cut = room.take(text)
    return Block(role[:40], shown, note and note[:200], calls or [], cut)


def _text(content: object) -> str:
    """A message's content. Parts that are not text are named, not shown."""
    if isinstance(content, str):
        return content
    parts = []
    for part in _list(content):
        if isinstance(part, dict):
            kind = str(part.get("type", "part"))
            parts.append(str(part.get("text", "")) if kind == "text" else f"[{kind}]")
    return "\n".join(parts)


def _object(body: bytes | None) -> dict[str, Any]:
    try:
        value = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
