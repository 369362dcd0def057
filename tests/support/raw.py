"""A provider whose answers are given byte by byte, or by a rule, by the model's name."""

from __future__ import annotations

import http.server
import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

Rule = Callable[[dict[str, Any]], bytes]
"""Of a request's JSON the whole answer."""


def answer(body: Any, status: int = 200, media: str = "application/json", **headers: str) -> bytes:
    """A whole HTTP answer; what is no bytes goes as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"content-type: {media}", f"content-length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode() + content


def stream(*events: Any, end: bytes = b"data: [DONE]\n\n", between: bytes = b"\n\n") -> bytes:
    """A whole HTTP answer with a stream; events that are no bytes go as JSON."""
    lines = [
        event if isinstance(event, bytes) else b"data: " + json.dumps(event).encode()
        for event in events
    ]
    body = b"".join(line + between for line in lines) + end
    return b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + body


class RawProvider:
    """Answers each model with its bytes, and counts the requests."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | Rule] = {}
        self.asked: Counter[str] = Counter()
        self.bodies: dict[str, list[dict[str, Any]]] = {}
        self.hold_open: set[str] = set()
        """Models whose connection stays open after their answer, until `let_go`."""
        self._released = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                model = body["model"]
                outer.asked[model] += 1
                outer.bodies.setdefault(model, []).append(body)
                found = outer.answers[model]
                self.close_connection = True
                self.wfile.write(found if isinstance(found, bytes) else found(body))
                if model in outer.hold_open:
                    outer._released.wait(30)

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """What a client calls `base_url`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def let_go(self) -> None:
        """Close the connections that are held open."""
        self._released.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
