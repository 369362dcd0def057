"""Asking a model: the request of OpenAI's wire, and the answer as it comes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from noria.errors import NoriaError

__all__ = ["Answer", "Door", "Message", "Reply", "embed"]

Message = dict[str, str]


@dataclass(slots=True)
class Answer:
    """What a model sends back: its headers, with names in lower case, and its body."""

    status: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]


class Door(Protocol):
    """A way to a model."""

    def post(self, path: str, body: bytes) -> AbstractContextManager[Answer]:
        """Send a request of OpenAI's wire; `path` begins after `/v1`."""


@dataclass(slots=True)
class Reply:
    """A chat answer as it comes: iterate over its text, then read its figures."""

    door: Door
    model: str
    messages: Sequence[Message]
    text: str = ""
    answered_by: str | None = None
    trace_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    ttft_ms: float | None = None
    duration_ms: float | None = None

    def __iter__(self) -> Iterator[str]:
        """Ask, and give the text piece by piece.

        Raises:
            NoriaError: the call was refused or failed.
        """
        import orjson

        from noria.models import usage_of
        from noria.models.completion import pieces_of
        from noria.models.refusal import Refusal

        begun = time.monotonic()
        request = {
            "model": self.model,
            "messages": list(self.messages),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        with self.door.post("/chat/completions", orjson.dumps(request)) as answer:
            self.trace_id = answer.headers.get("x-noria-trace")
            self.answered_by = answer.headers.get("x-noria-model")
            if answer.status != 200:
                raise _failure(answer)
            for event in _events(answer.pieces):
                if (refusal := Refusal.within(event)) is not None:
                    raise NoriaError(refusal.message)
                usage = usage_of(event)
                if usage is not None and not usage.absurd:
                    self.input_tokens = usage.input_tokens
                    self.output_tokens = usage.output_tokens
                for piece in pieces_of(event):
                    if said := piece.text or piece.refusal:
                        if self.ttft_ms is None:
                            self.ttft_ms = 1000 * (time.monotonic() - begun)
                        self.text += said
                        yield said
        self.duration_ms = 1000 * (time.monotonic() - begun)


def embed(door: Door, model: str, text: str) -> dict[str, Any]:
    """Embed one text: the number of dimensions, and the figures of the call.

    Raises:
        NoriaError: the call was refused or failed.
    """
    import orjson

    begun = time.monotonic()
    request = orjson.dumps({"model": model, "input": text})
    with door.post("/embeddings", request) as answer:
        if answer.status != 200:
            raise _failure(answer)
        reply = orjson.loads(b"".join(answer.pieces))
        return {
            "dimensions": len(reply["data"][0]["embedding"]),
            "answered_by": answer.headers.get("x-noria-model"),
            "trace_id": answer.headers.get("x-noria-trace"),
            "input_tokens": reply.get("usage", {}).get("prompt_tokens"),
            "duration_ms": 1000 * (time.monotonic() - begun),
        }


def _failure(answer: Answer) -> NoriaError:
    """What a refusal in OpenAI's shape says."""
    import orjson

    body = b"".join(answer.pieces)
    try:
        return NoriaError(str(orjson.loads(body)["error"]["message"]))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return NoriaError(f"The server answered {answer.status} and said nothing usable.")


def _events(pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """The JSON of each server-sent event, as the door sends them."""
    from noria.models.wire import events, read_json

    rest = b""
    for piece in pieces:
        whole, end, rest = (rest + piece).rpartition(b"\n\n")
        for data in events(whole + end):
            event, _ = read_json(data)
            if isinstance(event, dict):
                yield event
