"""A small OTLP collector: a real HTTP server that decodes what it is sent, and answers as told."""

from __future__ import annotations

import gzip
import threading
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True)
class Delivery:
    """One request that came."""

    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    """Unpacked."""

    @property
    def request(self) -> service.ExportTraceServiceRequest:
        """What it says."""
        return service.ExportTraceServiceRequest.FromString(self.body)


@dataclass(frozen=True)
class Say:
    """How a request is answered."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    rejected: int = 0


class Collector:
    """Takes spans on `url` within a `with` block."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self._answers: deque[Say] = deque()
        self._came = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer._take(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer_next(self, *answers: Say) -> None:
        """Answer the next requests with these; all others are taken."""
        self._answers.extend(answers)

    def wait_for(self, deliveries: int, seconds: float = 20.0) -> list[Delivery]:
        """Wait until so many requests have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.deliveries) >= deliveries, seconds)
            return list(self.deliveries)

    def spans(self) -> list[Span]:
        """Every span of every request."""
        return [
            span
            for delivery in self.deliveries
            for group in delivery.request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    def wait_for_spans(self, count: int, seconds: float = 20.0) -> list[Span]:
        """Wait until so many spans have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.spans()) >= count, seconds)
            return self.spans()

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        if handler.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        said = self._answers.popleft() if self._answers else Say()
        answer = service.ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = said.rejected
        text = answer.SerializeToString()
        with self._came:
            if said.status == 200:
                self.deliveries.append(Delivery(headers, body))
            self._came.notify_all()
        handler.send_response(said.status)
        for name, value in said.headers:
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)


def attributes(span: Span) -> dict[str, Any]:
    """A span's attributes as plain values."""
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes
    }
