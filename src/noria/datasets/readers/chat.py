"""Chat JSONL, as OpenAI's fine-tuning takes it: `{"messages": [...], "tools": [...]}`. Rows of
noria's own data sets have this form too, with their provenance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from noria.datasets.readers.draft import Draft, Turn, text_of
from noria.datasets.readers.sharegpt import role_of

__all__ = ["read", "turns_of"]

_KEPT = ("owner", "licence", "consent", "language", "source")


def read(value: Mapping[str, Any]) -> Draft:
    """Understand one conversation."""
    fields: dict[str, Any] = {name: value[name] for name in _KEPT if value.get(name)}
    tools = value.get("tools") or [
        {"type": "function", "function": one} for one in value.get("functions") or ()
    ]
    if tools:
        fields["tools"] = tools
    identity = str(value.get("id") or "")
    return Draft(identity, turns_of(value["messages"]), value.get("label"), fields)


def turns_of(messages: object) -> list[Turn]:
    """The turns of a list of messages; a text is one turn of an assistant."""
    if isinstance(messages, str):
        return [Turn("assistant", messages)]
    if not isinstance(messages, list):
        raise TypeError("messages is not a list")
    return [_turn(message) for message in messages]


def _turn(message: object) -> Turn:
    if not isinstance(message, dict):
        return Turn("", str(message), dropped="malformed_turn")
    content, problem = text_of(message.get("content"))
    turn = Turn(role_of(message.get("role")), content, dropped=problem)
    calls = message.get("tool_calls")
    called = message.get("function_call")
    if not calls and isinstance(called, dict):  # the older form has one call without an id
        calls = [{"id": "call_0", "type": "function", "function": called}]
    if isinstance(calls, list) and calls:
        turn.extra["tool_calls"] = [_call(one) for one in calls if isinstance(one, dict)]
    for name in ("tool_call_id", "name"):
        if isinstance(message.get(name), str):
            turn.extra[name] = message[name]
    if turn.role == "tool" and message.get("role") == "function":
        turn.extra.setdefault("tool_call_id", "call_0")
    return turn


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    function = dict(function) if isinstance(function, dict) else {}
    if not isinstance(function.get("arguments"), str):
        function["arguments"] = orjson.dumps(function.get("arguments") or {}).decode()
    return {"id": str(call.get("id") or "call_0"), "type": "function", "function": function}
