"""OpenAI's legacy completions, which callers speak and no provider here does."""

from __future__ import annotations

import time
from typing import Any, Final

import orjson

from noria.ids import new_span_id
from noria.models.translation.chat import usage_fields
from noria.models.translation.form import Event, Form, Part, Turn, refused

__all__ = ["CompletionsWriter", "read_request", "write_reply"]

_FINISHES: Final = {"length": "length", "filter": "content_filter"}


def read_request(fields: dict[str, Any]) -> Form:
    """Read a request: its prompt is what a user says."""
    prompt = fields.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise refused("prompt", "it must be one text a call")
    for name in ("suffix", "echo", "best_of"):
        if fields.get(name) and fields[name] != 1:
            raise refused(name, "chat models know nothing of it")
    form = Form([Turn("user", [Part("text", prompt)])])
    form.limit = fields.get("max_tokens")
    form.temperature, form.top_p = fields.get("temperature"), fields.get("top_p")
    form.seed, form.user = fields.get("seed"), fields.get("user")
    stop = fields.get("stop")
    form.stop = [stop] if isinstance(stop, str) else list(stop or ())
    form.stream = bool(fields.get("stream"))
    return form


def _choice(text: str, finish: str | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}


def write_reply(events: list[Event], model: str) -> dict[str, Any]:
    """Write a whole answer."""
    said = "".join(event.text for event in events if event.kind in ("text", "refusal"))
    finish = next((event.text for event in events if event.kind == "stop"), "stop")
    reply = _head(model) | {"choices": [_choice(said, _FINISHES.get(finish, "stop"))]}
    usage = next((event.usage for event in events if event.kind == "usage"), None)
    if usage is not None:
        reply["usage"] = usage_fields(usage)
    return reply


def _head(model: str) -> dict[str, Any]:
    return {
        "id": f"cmpl-{new_span_id()}", "object": "text_completion", "created": int(time.time()),
        "model": model,
    }  # fmt: skip


class CompletionsWriter:
    """Writes an answer as chunks."""

    def __init__(self, model: str) -> None:
        self._head = _head(model)

    def feed(self, event: Event) -> bytes:
        """A chunk."""
        if event.kind in ("text", "refusal"):
            chunk = self._head | {"choices": [_choice(event.text, None)]}
        elif event.kind == "stop":
            chunk = self._head | {"choices": [_choice("", _FINISHES.get(event.text, "stop"))]}
        elif event.kind == "usage" and event.usage is not None:
            chunk = self._head | {"choices": [], "usage": usage_fields(event.usage)}
        else:
            return b""
        return b"data: %b\n\n" % orjson.dumps(chunk)

    def end(self) -> bytes:
        """The mark of the end."""
        return b"data: [DONE]\n\n"
