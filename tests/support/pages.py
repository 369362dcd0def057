"""The pages in a process of their own thread, with a stand-in for the door beside them."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import orjson
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Mount, Route, Router

from noria.ids import new_span_id, new_trace_id
from noria.models.catalogue import Catalogue
from noria.web import Context, create_app
from tests.support.seed import Seeded
from tests.support.seed_apps import run

ANSWER = "Here is **one** thing.\n\n- first\n- second\n\n```python\nprint('hi')\n```\n"


class StubDoor:
    """Answers `/v1/chat/completions` with `pieces`, and records each call as the door would."""

    def __init__(self, seeded: Seeded) -> None:
        self.seeded = seeded
        self.pieces = re.findall(r"\s*\S+\s*", ANSWER)
        self.pause = 0.01
        self.asked: list[dict[str, object]] = []
        self.refusal: tuple[int, str] | None = None
        self.hung_up = threading.Event()
        self.headers: list[dict[str, str]] = []
        self.feedback: list[dict[str, object]] = []

    async def judge(self, request: Request) -> JSONResponse:
        """Stands in for `POST /v1/feedback`."""
        self.feedback.append(await request.json())
        return JSONResponse(self.feedback[-1], 201)

    async def answer(self, request: Request) -> StreamingResponse | JSONResponse:
        body = await request.json()
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        if self.refusal:
            status, message = self.refusal
            return JSONResponse({"error": {"message": message, "code": "refused"}}, status)
        trace = new_trace_id()
        return StreamingResponse(
            self._stream(body, trace),
            media_type="text/event-stream",
            headers={"x-noria-trace": trace, "x-noria-model": str(body["model"])},
        )

    async def _stream(self, body: dict[str, object], trace: str) -> AsyncIterator[bytes]:
        said: list[str] = []
        done = False
        try:
            for piece in self.pieces:
                said.append(piece)
                yield _event({"choices": [{"index": 0, "delta": {"content": piece}}]})
                await asyncio.sleep(self.pause)
            usage = {"prompt_tokens": 31, "completion_tokens": len(said)}
            yield _event({"choices": [], "usage": usage})
            self._record(body, trace, "".join(said), "ok")
            done = True
            yield b"data: [DONE]\n\n"
        finally:
            if not done:
                self._record(body, trace, "".join(said), "cancelled")
                self.hung_up.set()

    def _record(self, body: dict[str, object], trace: str, text: str, status: str) -> None:
        admin = self.seeded.keys["admin"]
        if body["model"] == "support":
            run(self.seeded, time.time_ns(), owner="admin", answer=text, trace=trace,
                outcome="fail")  # fmt: skip
            return
        reply = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
        assert self.seeded.journal is not None
        self.seeded.journal.append(
            {"t": "span", "id": new_span_id(), "trace": trace, "kind": "chat",
             "model": body["model"], "target": body["model"], "key": admin.id,
             "at": time.time_ns() - 500_000_000, "status": status, "ms": 500.0, "ttft": 80.0,
             "in": 31, "out": 12, "cost": 41_230, "stream": True},
            orjson.dumps(body),
            orjson.dumps(reply),
        )  # fmt: skip


def _event(value: object) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


@contextmanager
def serve_pages(seeded: Seeded, port: int = 0) -> Iterator[tuple[str, StubDoor]]:
    """Serve the pages and the stand-in on a port of this machine."""
    door = StubDoor(seeded)
    context = Context(
        config=seeded.config,
        db=seeded.db,
        catalogue=Catalogue(seeded.config, environ={}),
        take_in=seeded.take_in,
        home=seeded.config.home,
    )
    app = Router(
        [
            Route("/v1/chat/completions", door.answer, methods=["POST"]),
            Route("/v1/feedback", door.judge, methods=["POST"]),
            Mount("/", create_app(context)),
        ]
    )
    listener = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", door
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(10)
