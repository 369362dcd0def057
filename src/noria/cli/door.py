"""A conversation with a model: through this home's server when one runs, else in this process."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from noria.errors import NoriaError

if TYPE_CHECKING:
    from noria.config import Config

__all__ = ["Door", "Reply", "embed", "open_door"]

Message = dict[str, str]


@dataclass(slots=True)
class Answer:
    """What a model sends back: its headers, with names in lower case, and its body."""

    status: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]


class Door(Protocol):
    """A way to a model."""

    def post(self, path: str, body: bytes) -> contextlib.AbstractContextManager[Answer]:
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
                raise failure(answer)
            for event in _events(answer.pieces):
                if "error" in event:
                    raise NoriaError(str(event["error"].get("message")))
                if usage := event.get("usage"):
                    self.input_tokens = usage.get("prompt_tokens")
                    self.output_tokens = usage.get("completion_tokens")
                for choice in event.get("choices", ()):
                    if piece := choice.get("delta", {}).get("content"):
                        if self.ttft_ms is None:
                            self.ttft_ms = 1000 * (time.monotonic() - begun)
                        self.text += piece
                        yield piece
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
            raise failure(answer)
        reply = orjson.loads(b"".join(answer.pieces))
        return {
            "dimensions": len(reply["data"][0]["embedding"]),
            "answered_by": answer.headers.get("x-noria-model"),
            "trace_id": answer.headers.get("x-noria-trace"),
            "input_tokens": reply.get("usage", {}).get("prompt_tokens"),
            "duration_ms": 1000 * (time.monotonic() - begun),
        }


def failure(answer: Answer) -> NoriaError:
    """What a refusal in OpenAI's shape says."""
    import orjson

    body = b"".join(answer.pieces)
    try:
        return NoriaError(str(orjson.loads(body)["error"]["message"]))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return NoriaError(f"The server answered {answer.status} and said nothing usable.")


def _events(pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """The JSON of each server-sent event, up to `[DONE]`."""
    import orjson

    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                data = line[5:].strip()
                if data == b"[DONE]":
                    return
                yield orjson.loads(data)


class HttpDoor:
    """The server that runs on this home."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        import httpx2

        self._client = httpx2.Client(
            base_url=f"{url}/v1",
            headers=headers | {"Content-Type": "application/json"},
            # The server keeps the time; a first call may wait for weights to be pulled.
            timeout=httpx2.Timeout(10.0, read=None),
        )

    @contextlib.contextmanager
    def post(self, path: str, body: bytes) -> Iterator[Answer]:
        """Send the request and stream what comes back."""
        import httpx2

        try:
            with self._client.stream("POST", path, content=body) as response:
                yield Answer(response.status_code, response.headers, response.iter_raw())
        except httpx2.HTTPError as lost:
            raise NoriaError(
                f"The server at {self._client.base_url} broke off: {lost or type(lost).__name__}.",
                "Look at it with: noria doctor",
            ) from None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


@contextlib.contextmanager
def open_door(config: Config) -> Iterator[Door]:
    """The way to the models of this home.

    Raises:
        NoriaError: no key is at hand.
    """
    from noria.cli.home import running_server

    url = running_server(config.home)
    assert url is not None
    door = HttpDoor(url, _credentials(config))
    try:
        yield door
    finally:
        door.close()


def _credentials(config: Config) -> dict[str, str]:
    """Headers that say who calls: NORIA_KEY, else the owner of this home."""
    secret = os.environ.get("NORIA_KEY")
    if secret is None:
        with contextlib.suppress(OSError):
            secret = (config.home / "admin-key").read_text().strip()
    if secret:
        return {"Authorization": f"Bearer {secret}"}
    return {"Cookie": f"noria_session={_owner_session(config)}", "Sec-Fetch-Site": "same-origin"}


def _owner_session(config: Config) -> str:
    """A session of an admin key: whoever can write to the home may use it."""
    from noria.cli.home import open_home
    from noria.store import list_keys, sign_in

    with open_home(config) as home:
        for key in list_keys(home.db):
            if key.admin and key.revoked_ns is None:
                return sign_in(home.db, key.id)
    raise NoriaError(
        "There is no key to call with.", "Make one (noria key create) and set NORIA_KEY to it."
    )
