"""What a person would read in a recorded request and its response."""

from __future__ import annotations

from typing import Any, Final

import orjson

__all__ = ["words_of"]

_MOST_CHARACTERS: Final = 100_000


def words_of(request: bytes | None, response: bytes | None) -> str:
    """The text of a call's messages and of its reply, for the index."""
    return "\n".join(_texts(response) + _texts(request))[:_MOST_CHARACTERS]


def _texts(body: bytes | None) -> list[str]:
    """What a person would read in an OpenAI request or response."""
    try:
        content: Any = orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return []
    found: list[str] = []
    if not isinstance(content, dict):
        return found
    messages, choices = content.get("messages"), content.get("choices")
    for message in messages if isinstance(messages, list) else ():
        _add_message(found, message)
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            _add_message(found, choice.get("message"))
    given = content.get("input")
    if isinstance(given, str):
        found.append(given)
    elif isinstance(given, list):
        found.extend(text for text in given if isinstance(text, str))
    return found


def _add_message(found: list[str], message: Any) -> None:
    if not isinstance(message, dict):
        return
    said, calls = message.get("content"), message.get("tool_calls")
    if isinstance(said, str):
        found.append(said)
    elif isinstance(said, list):
        texts = (part.get("text") for part in said if isinstance(part, dict))
        found.extend(text for text in texts if isinstance(text, str))
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            found.append(f"{function.get('name')} {function.get('arguments')}")
