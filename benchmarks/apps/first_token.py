"""What the chat door of an application adds to the first token over the bare model.

    python benchmarks/apps/first_token.py [--streams 600]

One connection asks for streams, by turns of the model itself, of applications whose chat function
passes the model's pieces on, and of one that yields by itself. All come through the same worker of
a real `noria serve`, with authentication, an application's budget, journal and full recording; the
model is a fake that gives a piece every 5 ms. A provider that is not cleared for everything costs a
look at the trace's mark in the store before each call that an application makes.
Measured is the time from the request to the first piece of text, at the median and at the lowest
decile, which a busy machine disturbs least. Prints a table in markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from noria.testing import FakeProvider, Reply
from noria.types import Usage

APPS = ("passing", "marked", "alone")
TURN = 20
"""Streams of one kind in a row."""
WARM_UP = 40
FIRST = re.compile(rb'"content": ?"[^"]')
APP = """
from collections.abc import AsyncIterator

from noria import App

passing = App("passing", model="mock:bench", budget="1000000 USD/day")
marked = App("marked", model="public:bench", budget="1000000 USD/day")
alone = App("alone")


@passing.chat
async def answer(question: str) -> AsyncIterator[str]:
    async for piece in passing.model.stream("Answer in two sentences.", question=question):
        yield piece


@marked.chat
async def look(question: str) -> AsyncIterator[str]:
    async for piece in marked.model.stream("Answer in two sentences.", question=question):
        yield piece


@alone.chat
async def say(question: str) -> AsyncIterator[str]:
    yield question
    yield "!"
"""


@contextmanager
def running(command: list[str], **more: object) -> Iterator[None]:
    process = subprocess.Popen(command, **more)  # type: ignore[call-overload]
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def wait_for(path: Path, state: str | None = None) -> dict[str, object]:
    """The JSON of a file, once it is there (and says `state`)."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(OSError, ValueError):
            found: dict[str, object] = json.loads(path.read_bytes())
            if state is None or found["state"] == state:
                return found
        time.sleep(0.05)
    raise SystemExit(f"{path} did not come")


class Client:
    """One connection that is kept."""

    def __init__(self, port: int, secret: str) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port))
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._secret = secret

    def milliseconds(self, model: str) -> float:
        """From a request to the first piece of its answer."""
        message = {"role": "user", "content": "May I send back a book that I have read halfway?"}
        body = json.dumps({"model": model, "messages": [message], "stream": True}).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\n"
            f"Authorization: Bearer {self._secret}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        came = b""
        begun = time.perf_counter_ns()
        self._connection.sendall(head.encode() + body)
        while FIRST.search(came) is None:
            came += self._connection.recv(65536)
        first = time.perf_counter_ns()
        while not came.endswith(b"0\r\n\r\n"):
            came += self._connection.recv(65536)
        assert b"[DONE]" in came, came
        return (first - begun) / 1e6


def measure(port: int, secret: str, models: list[str], streams: int) -> dict[str, list[float]]:
    """The times of each model, in turns."""
    client = Client(port, secret)
    times: dict[str, list[float]] = {model: [] for model in models}
    for model in models:
        for _ in range(WARM_UP):
            client.milliseconds(model)
    for _ in range(streams // TURN):
        for model in models:
            times[model] += [client.milliseconds(model) for _ in range(TURN)]
    return times


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--streams", type=int, default=600, help="streams of each kind")
    streams = arguments.parse_args().streams
    reply = Reply(chunks=["Yes", " you", " may", "."], delay=0.005, usage=Usage(30, 4))
    with (
        FakeProvider(reply) as fake,
        tempfile.TemporaryDirectory(prefix="noria-bench-") as made,
    ):
        folder = Path(made)
        (folder / "noria.toml").write_text(
            f'[server]\nport = 0\n[providers.mock]\nbase_url = "{fake.url}"\n'
            f'clearance = "restricted"\n[providers.public]\nbase_url = "{fake.url}"\n'
            '[prices."mock:bench"]\ninput = 1.0\noutput = 2.0\n'
            '[prices."public:bench"]\ninput = 1.0\noutput = 2.0\n'
        )
        (folder / "passing.py").write_text(APP)
        environ = {name: value for name, value in os.environ.items() if name[:6] != "NORIA_"}
        serve = [sys.executable, "-m", "noria.cli", "serve", "passing.py"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with running(serve, cwd=folder, env=environ, **quiet):
            home = folder / ".noria"
            url = str(wait_for(home / "serve.json")["url"])
            wait_for(home / "apps" / "passing.json", "ready")
            secret = (home / "local-key").read_text().strip()
            models = ["mock:bench", *APPS]
            times = measure(int(url.rpartition(":")[2]), secret, models, streams)
    where = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {where}. {streams} streams of each, one connection.\n")
    print("| first token of | p10 ms | p50 ms | added p10, ms | added p50, ms | at most |")
    print("|---|---:|---:|---:|---:|---:|")
    told = {
        "mock:bench": "the bare model",
        "passing": "an application that passes the model's stream on",
        "marked": "the same, and the model is not cleared for everything",
        "alone": "an application that answers by itself",
    }
    bare = low_and_middle(times["mock:bench"])
    for model, found in times.items():
        low, middle = low_and_middle(found)
        added = f"{low - bare[0]:.2f} | {middle - bare[1]:.2f}" if model in APPS else " | "
        most = "2" if model in ("passing", "marked") else ""
        print(f"| {told[model]} | {low:.2f} | {middle:.2f} | {added} | {most} |")


def low_and_middle(times: list[float]) -> tuple[float, float]:
    return statistics.quantiles(times, n=10)[0], statistics.median(times)


if __name__ == "__main__":
    main()
