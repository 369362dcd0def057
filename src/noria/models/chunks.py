"""The chunks of a stream made into the one reply that they spell out."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

import orjson

from noria.models.wire import events

__all__ = ["assemble", "join"]

_MOST_TOOL_CALLS: Final = 128


class _Text:
    """A text that comes in pieces. It is put together at the end: to add to a `str` copies all that
    is there, for each token of a long answer."""

    __slots__ = ("pieces",)

    def __init__(self, *pieces: str) -> None:
        self.pieces = [*pieces]


def assemble(sse: bytes) -> bytes:
    """Make the one `chat.completion` that a recorded stream of chunks spells out.

    An error in mid-stream stands under `error`; what cannot be read is left out.

    Raises:
        ValueError: there is not one readable chunk.
    """
    chunks = [chunk for chunk in _parsed(list(events(sse))) if isinstance(chunk, dict)]
    if not chunks:
        raise ValueError("the stream holds no readable chunk")
    return orjson.dumps(join(chunks))


def _parsed(found: list[bytes]) -> list[Any]:
    """Those events that are JSON: read as one list, or one by one where that is none."""
    try:
        together: list[Any] = orjson.loads(b"[%b]" % b",".join(found))
    except orjson.JSONDecodeError:
        together = []
    if len(together) == len(found):
        return together
    each = []
    for data in found:
        with suppress(orjson.JSONDecodeError):
            each.append(orjson.loads(data))
    return each


def join(chunks: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Make one `chat.completion` of its chunks: choices, tool calls, log probabilities,
    refusals, finish reasons and usage."""
    reply: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    before: dict[str, Any] = {}
    for chunk in chunks:
        fields = chunk | {"choices": None}
        if fields != before:  # as few are
            reply |= {key: value for key, value in fields.items() if value is not None}
            before = fields
        parts = chunk.get("choices")
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                _add_choice(choices, part)
    if choices or "error" not in reply:
        reply["object"] = "chat.completion"
        reply["choices"] = [_whole(choices[index]) for index in sorted(choices)]
    return reply


def _add_choice(choices: dict[int, dict[str, Any]], part: dict[str, Any]) -> None:
    index = part.get("index")
    index = index if isinstance(index, int) else 0
    choice = choices.get(index)
    if choice is None:
        choice = choices[index] = {
            "index": index,
            "message": {"role": "assistant", "content": None},
            "logprobs": None,
            "finish_reason": None,
        }
    for key, value in part.items():
        if value is None or key == "index":
            continue
        if key == "delta":
            if isinstance(value, dict):
                _add_delta(choice["message"], value)
        elif key == "logprobs":
            if isinstance(value, dict):
                _add_logprobs(choice, value)
        else:
            choice[key] = value


def _add_logprobs(choice: dict[str, Any], piece: dict[str, Any]) -> None:
    if choice["logprobs"] is None:
        choice["logprobs"] = {}
    for key, entries in piece.items():
        if isinstance(entries, list):
            choice["logprobs"].setdefault(key, []).extend(entries)


def _add_delta(message: dict[str, Any], delta: dict[str, Any]) -> None:
    """Join one piece to a message: texts are appended, tool calls are matched by index."""
    for key, value in delta.items():
        if value is None:
            continue
        known = message.get(key)
        if isinstance(known, _Text) and isinstance(value, str):
            known.pieces.append(value)
        elif key == "tool_calls" and isinstance(value, list):
            _add_tool_calls(message.setdefault("tool_calls", []), value)
        elif key in ("role", "id", "type", "name"):
            message[key] = value
        elif isinstance(value, str) and isinstance(known, str):
            message[key] = _Text(known, value)
        elif isinstance(value, dict) and isinstance(known, dict):
            _add_delta(known, value)
        elif isinstance(value, list) and isinstance(known, list):
            known.extend(value)
        else:
            message[key] = value


def _add_tool_calls(calls: list[dict[str, Any]], pieces: list[Any]) -> None:
    """Put each piece where its index says. Indices may leave gaps, so calls stay in the order in
    which they first came, and the index itself is no part of the finished call."""
    for piece in pieces:
        if not isinstance(piece, dict):
            continue
        index = piece.get("index", len(calls))
        while len(calls) <= index < _MOST_TOOL_CALLS:
            calls.append({})
        if 0 <= index < len(calls):
            _add_delta(calls[index], {k: v for k, v in piece.items() if k != "index"})


def _whole(value: Any) -> Any:
    """The same with its texts put together."""
    if isinstance(value, _Text):
        return "".join(value.pieces)
    if isinstance(value, dict):
        return {key: _whole(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_whole(part) for part in value]
    return value
