"""A webhook that remembers what it was told."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import orjson


class Hook:
    """A webhook that fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.came: list[Any] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                nonlocal failures
                failures -= 1
                self.send_response(500 if failures >= 0 else 200)
                self.end_headers()
                if failures < 0:
                    hook.came.append(orjson.loads(body))

            def log_message(self, *_: Any) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
