"""Recorded bodies of any dialect in OpenAI's chat, in which traces are read, searched and learned
from."""

from __future__ import annotations

from typing import Any

import orjson

from noria.models.translation import READERS, WIRES
from noria.models.wire import events, read_json

__all__ = ["in_chat"]


def in_chat(body: bytes, wire: str, part: str) -> bytes:
    """One body in OpenAI's chat.

    Args:
        body: as it was recorded.
        wire: its dialect.
        part: `request`, `reply`, or `stream` for the events of an answer.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        if part == "request":
            fields, _ = read_json(body)
            form = WIRES[wire].read_request(fields)
            return orjson.dumps(WIRES["chat"].write_request(form, str(fields.get("model"))))
        if part == "reply":
            reply, _ = read_json(body)
            said = WIRES[wire].read_reply(reply)
            return orjson.dumps(WIRES["chat"].write_reply(said, _model(reply)))
        reader = READERS[wire]()
        said, model, failure = [], "", None
        for data in events(body):
            event, _ = read_json(data)
            if isinstance(event, dict):
                said += reader.feed(event)
                model = model or _model(event)
                failure = event.get("error") or failure
        answer = WIRES["chat"].write_reply([*said, *reader.end()], model)
        return orjson.dumps(answer | ({"error": failure} if failure else {}))
    except (KeyError, TypeError, AttributeError, IndexError) as odd:
        raise ValueError(f"it is no {part} in {wire}: {odd!r}") from odd


def _model(reply: dict[str, Any]) -> str:
    """What a reply, or its first event, says of the model."""
    for holder in (reply, reply.get("message"), reply.get("response")):
        if isinstance(holder, dict):
            named = holder.get("model") or holder.get("modelVersion")
            if isinstance(named, str):
                return named
    return ""
