"""The chunks of a stream made into the one reply that they spell out."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

import orjson

from noria.models.completion import said_in
from noria.models.wire import events, read_json

__all__ = ["assemble", "join"]

_MOST_TOOL_CALLS: Final = 128


class _Text:
    """A text that comes in pieces. It is put together at the end: to add to a `str` copies all that
    is there, for each token of a long answer."""

    __slots__ = ("pieces",)

    def __init__(self, *pieces: str) -> None:
        self.pieces = [*pieces]


def assemble(body: bytes, wire: str = "chat", part: str = "stream") -> bytes:
    """Make the one `chat.completion` that a recorded stream of chunks spells out, or one body in
    OpenAI's chat of what was recorded in another dialect.

    An error in mid-stream stands under `error`; what cannot be read is left out.

    Args:
        body: as it was recorded.
        wire: its dialect.
        part: `request`, `reply`, or `stream` for the events of an answer.

    Raises:
        ValueError: there is not one readable chunk.
    """
    if wire != "chat" or part != "stream":
        from noria.models.translation.recorded import in_chat

        return in_chat(body, wire, part)
    chunks = [chunk for chunk in _parsed(list(events(body))) if isinstance(chunk, dict)]
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
        with suppress(ValueError):
            each.append(read_json(data)[0])
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
        reply["choices"] = [_finished(choices[index]) for index in sorted(choices)]
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
    """Join one piece to a message: texts are appended, tool calls are put together."""
    for key, value in delta.items():
        if value is None:
            continue
        known = message.get(key)
        if isinstance(known, _Text) and isinstance(value, str):
            known.pieces.append(value)
        elif key == "tool_calls" and isinstance(value, list):
            _add_tool_calls(message.setdefault("tool_calls", []), value)
        elif key == "content" and isinstance(value, list):
            _add_parts(message, value)
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


def _add_parts(message: dict[str, Any], parts: list[Any]) -> None:
    """Join content that comes as parts: text is text, thinking is `reasoning_content` as with
    other servers, and what is neither is kept under `content_parts`."""
    for part in parts:
        said, thought = said_in([part])
        if said:
            _add_delta(message, {"content": said})
        if thought:
            _add_delta(message, {"reasoning_content": thought})
        if not said and not thought and isinstance(part, dict) and part.get("type") != "text":
            message.setdefault("content_parts", []).append(part)


def _add_tool_calls(calls: list[dict[str, Any]], pieces: list[Any]) -> None:
    """Join the pieces of tool calls. A call is known by its index, and by its id where servers give
    every call the same index or none; without either a piece belongs to the call before it, unless
    it names a function. Indices may leave gaps, so calls stay in the order in which they first
    came; the index itself is no part of the finished call."""
    for piece in pieces:
        if not isinstance(piece, dict):
            continue
        call = _call_of(calls, piece)
        if call is None:
            if len(calls) >= _MOST_TOOL_CALLS:
                continue
            call = {}
            calls.append(call)
        _add_call(call, piece)


def _call_of(calls: list[dict[str, Any]], piece: dict[str, Any]) -> dict[str, Any] | None:
    """The call that a piece goes on with; None where it begins one."""
    index: Any = piece.get("index")
    identity: Any = piece.get("id")
    if isinstance(index, bool) or not isinstance(index, int):
        index = None
    if isinstance(identity, str) and identity:
        same = [call for call in calls if call.get("id") == identity]
        if index is None:
            return same[-1] if same else None
        begun = _first_at(same, index)
        if begun is not None:
            return begun
        last = _last_at(calls, index)
        return last if last is not None and not last.get("id") else None
    if index is None:
        function = piece.get("function")
        named: Any = function.get("name") if isinstance(function, dict) else None
        return calls[-1] if calls and not named else None
    # Of several calls under one index the last is the one that goes on.
    return _last_at(calls, index)


def _first_at(calls: list[dict[str, Any]], index: int) -> dict[str, Any] | None:
    for call in calls:
        if call.get("index") == index:
            return call
    return None


def _last_at(calls: list[dict[str, Any]], index: int) -> dict[str, Any] | None:
    return _first_at(calls[::-1], index)


def _add_call(call: dict[str, Any], piece: dict[str, Any]) -> None:
    for key, value in piece.items():
        if value is None or (value == "" and key in ("id", "type")):
            continue
        if key == "function" and isinstance(value, dict):
            function = call.setdefault("function", {})
            _add_delta(function, _function(value))
        elif key == "index":
            call.setdefault("index", value)
        else:
            _add_delta(call, {key: value})


def _function(piece: dict[str, Any]) -> dict[str, Any]:
    """A piece of a function's name and arguments: arguments may come as an object, and a name that
    is empty is none."""
    fields = {key: value for key, value in piece.items() if key != "name" or value}
    arguments = fields.get("arguments")
    if isinstance(arguments, dict | list):
        fields["arguments"] = orjson.dumps(arguments).decode()
    return fields


def _finished(choice: dict[str, Any]) -> Any:
    for call in choice["message"].get("tool_calls") or ():
        if isinstance(call, dict):
            call.pop("index", None)
    return _whole(choice)


def _whole(value: Any) -> Any:
    """The same with its texts put together."""
    if isinstance(value, _Text):
        return "".join(value.pieces)
    if isinstance(value, dict):
        return {key: _whole(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_whole(part) for part in value]
    return value
