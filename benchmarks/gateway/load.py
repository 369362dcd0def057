"""The load of the benchmark: so many connections, each asking again as soon as it was answered."""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from dataclasses import dataclass, field

import httptools
import orjson
import uvloop

__all__ = ["Load", "Target", "hold", "run"]

_SYSTEM = (
    "You are the assistant of a bookshop. Answer from the notes only, in two sentences at most, "
    "and say so when they do not hold the answer."
)
_NOTES = (
    "[1] Orders sent before noon leave on the same day. [2] A book may be sent back within thirty "
    "days if it is as good as new. [3] Gift cards cannot be paid out."
)


@dataclass(frozen=True)
class Target:
    """Where and how a server under test is asked."""

    port: int
    path: str
    model: str
    headers: dict[str, str] = field(default_factory=dict)

    def request(self, stream: bool, slowly: bool = False) -> bytes:
        """The bytes of one request: a chat of three messages, about 600 bytes."""
        question = "May I send back a book that I have read halfway?"
        asked: dict[str, object] = {
            "model": self.model,
            "messages": [
                {"role": "system", "content": _SYSTEM},
                {"role": "user", "content": f"Notes: {_NOTES}"},
                {"role": "user", "content": f"{question} Answer slowly." if slowly else question},
            ],
            "max_tokens": 256,
            "temperature": 0.2,
        }
        if stream:
            asked["stream"] = True
        body = orjson.dumps(asked)
        headers = {
            "host": f"127.0.0.1:{self.port}",
            "content-type": "application/json",
            "accept": "application/json",
            "user-agent": "bench",
            **self.headers,
            "content-length": str(len(body)),
        }
        lines = [f"POST {self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        return "\r\n".join(lines).encode() + body


@dataclass
class Load:
    """What a run of requests showed."""

    requests: int
    seconds: float
    latencies_ms: list[float]
    failures: int
    first_failure: str = ""

    @property
    def p50_ms(self) -> float:
        """The median time from the request to the whole answer."""
        return statistics.median(self.latencies_ms)

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


class _Client(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._parser = httptools.HttpResponseParser(self)
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._ask()

    def _ask(self) -> None:
        if self._run.left == 0:
            self._transport.close()
            return
        self._run.left -= 1
        self._began = time.perf_counter_ns()
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._tail = (self._tail + body)[-400:] if len(body) < 400 else body

    def on_message_complete(self) -> None:
        self._run.latencies.append(time.perf_counter_ns() - self._began)
        status = self._parser.get_status_code()
        expected = b"[DONE]" if self._run.stream else b'"usage"'
        if status != 200 or expected not in self._tail:
            self._run.fail(f"{status}: {self._tail[-300:].decode('utf-8', 'replace')}")
        self._run.count()
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.closed()


class _Run:
    def __init__(self, request: bytes, requests: int, connections: int, stream: bool) -> None:
        self.request = request
        self.stream = stream
        self.left = requests
        self.latencies: list[int] = []
        self.failures = 0
        self.first_failure = ""
        self._awaited = requests
        self._open = connections
        self.ended = asyncio.Event()

    def fail(self, what: str) -> None:
        self.failures += 1
        self.first_failure = self.first_failure or what

    def count(self) -> None:
        self._awaited -= 1
        if self._awaited == 0:
            self.ended.set()

    def closed(self) -> None:
        self._open -= 1
        if self._open == 0:
            self.ended.set()


async def _run(
    target: Target, requests: int, connections: int, stream: bool, slowly: bool, limit_s: float
) -> Load:
    run = _Run(target.request(stream, slowly), requests, connections, stream)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    clients = [
        await loop.create_connection(lambda: _Client(run), "127.0.0.1", target.port)
        for _ in range(connections)
    ]
    try:
        await asyncio.wait_for(run.ended.wait(), limit_s)
    except TimeoutError:
        run.fail(f"stopped after {limit_s:.0f} s")
    seconds = time.perf_counter() - began
    for transport, _ in clients:
        transport.close()
    answered = len(run.latencies)
    failures = run.failures + (requests - answered if answered < requests else 0)
    return Load(
        answered,
        seconds,
        [nanoseconds / 1e6 for nanoseconds in run.latencies] or [float("nan")],
        failures,
        run.first_failure or ("the server closed connections" if answered < requests else ""),
    )


def run(
    target: Target,
    requests: int,
    connections: int,
    *,
    stream: bool = False,
    slowly: bool = False,
    limit_s: float = 120.0,
) -> Load:
    """Send `requests` requests over `connections` connections, for at most `limit_s` seconds."""
    return uvloop.run(_run(target, requests, connections, stream, slowly, limit_s))


def hold(target: Target) -> socket.socket:
    """A connection that has been answered once and stays open."""
    connection = socket.create_connection(("127.0.0.1", target.port), timeout=30)
    connection.sendall(target.request(stream=False))
    connection.recv(65536)
    return connection
