"""The engine's HTTP face: OpenAI's wire on loopback, for whoever knows the secret."""

from __future__ import annotations

import asyncio
import hmac
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from noria.errors import ApiError
from noria.models.engine.protocol import Engine
from noria.models.engine.requests import bad

__all__ = ["EngineApp"]

_WAITING = 256
"""Calls that may be in hand at once, those included that wait for the engine."""


class EngineApp:
    """The ASGI application of one engine."""

    def __init__(self, engine: Engine, secret: str) -> None:
        self._engine = engine
        self._secret = f"Bearer {secret}".encode()
        self._threads = ThreadPoolExecutor(_WAITING, thread_name_prefix="call")
        self._last_used = time.monotonic()
        self.asgi = Starlette(
            routes=[
                Route("/health", self._guarded(self._health)),
                Route("/v1/models", self._guarded(self._models)),
                Route("/v1/chat/completions", self._guarded(self._chat), methods=["POST"]),
                Route("/v1/embeddings", self._guarded(self._embeddings), methods=["POST"]),
            ]
        )

    def idle_seconds(self) -> float:
        """How long nobody has asked anything."""
        return 0.0 if self._engine.health().busy else time.monotonic() - self._last_used

    def _guarded(self, handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
        """Let in who knows the secret, and give errors OpenAI's shape."""

        async def handle(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode()
            try:
                if not hmac.compare_digest(given, self._secret):
                    raise ApiError(401, "invalid_api_key", "This is not the engine's secret.")
                response: Response = await handler(request)
                return response
            except ApiError as error:
                return _json(error.body(), error.status)
            except Exception as problem:  # noqa: BLE001 - one bad call must not end the others
                return _json(_as_api_error(problem).body(), 500)

        return handle

    async def _health(self, request: Request) -> Response:
        health = self._engine.health()
        return _json({"status": "ok" if health.ready else "starting", "busy": health.busy})

    async def _models(self, request: Request) -> Response:
        model = {"id": self._engine.name, "object": "model", "created": 0, "owned_by": "noria"}
        return _json({"object": "list", "data": [model]})

    async def _embeddings(self, request: Request) -> Response:
        body = await self._body(request)
        return _json(await self._in_thread(self._engine.embed, body))

    async def _chat(self, request: Request) -> Response:
        body = await self._body(request)
        stopped = threading.Event()
        if body.get("stream"):
            return await self._stream(body, stopped)
        answer = asyncio.ensure_future(self._in_thread(self._engine.chat, body, stopped.is_set))
        gone = asyncio.ensure_future(_disconnected(request))
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not answer.done():
            stopped.set()  # the engine notices at its next token
        return _json(await answer)

    async def _stream(self, body: dict[str, Any], stopped: threading.Event) -> Response:
        options = body.get("stream_options")
        with_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

        def emit(chunk: dict[str, Any]) -> bool:
            if chunk["choices"] or with_usage:
                loop.call_soon_threadsafe(queue.put_nowait, chunk)
            return stopped.is_set()

        work = asyncio.ensure_future(self._in_thread(self._engine.stream, body, emit))
        work.add_done_callback(lambda _: queue.put_nowait(None))
        first = await queue.get()
        if first is None:
            await work  # raises what went wrong before the first chunk

        async def events() -> AsyncIterator[bytes]:
            chunk = first
            try:
                while chunk is not None:
                    yield b"data: " + orjson.dumps(chunk) + b"\n\n"
                    chunk = await queue.get()
                if (problem := work.exception()) is not None:
                    yield b"data: " + orjson.dumps(_as_api_error(problem).body()) + b"\n\n"
                yield b"data: [DONE]\n\n"
            finally:
                stopped.set()

        return StreamingResponse(events(), media_type="text/event-stream")

    async def _body(self, request: Request) -> dict[str, Any]:
        self._last_used = time.monotonic()
        try:
            body = orjson.loads(await request.body())
        except orjson.JSONDecodeError as problem:
            raise bad(f"The body is not JSON: {problem}.", code="invalid_json") from None
        if not isinstance(body, dict):
            raise bad("The body must be a JSON object.", code="invalid_json")
        return body

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, function, *arguments)
        finally:
            self._last_used = time.monotonic()


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _as_api_error(problem: BaseException) -> ApiError:
    if isinstance(problem, ApiError):
        return problem
    return ApiError(500, "engine_error", f"The engine failed: {problem}")


async def _disconnected(request: Request) -> None:
    """Return once the client is gone. Its body was read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
