"""A real noria for the tests: `noria serve` in processes of its own, before a fake provider."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx2
import psutil
import pytest

from noria.apps.serve.manifest import Manifest, Phase, read_apps
from noria.config import Config, load
from noria.models import assemble
from noria.store import BudgetStatus, Database, budget_status, create_key, take_in
from noria.store.traces.spans import find_spans
from noria.testing import FORBID_REAL_REQUESTS, FakeProvider
from noria.types import Budget, Span, Subject

MODEL = "fake:small"
PRICES = """
[prices."fake:small"]
input = 1000.0
output = 1000.0
"""
"""A token costs a thousandth of a dollar: amounts can be counted by eye."""
NANO_PER_TOKEN = 1_000_000


class Door:
    """One home and the server on it.

    Args:
        folder: an empty folder; `noria.toml` and the home are made in it.
        provider: what `fake:...` models reach.
        settings: TOML that is added to the file.
        workers: how many processes answer.
        store_url: the database; by default SQLite in the home.
        apps: files of applications, by name, that are made in the folder and served.
    """

    def __init__(
        self,
        folder: Path,
        provider: FakeProvider,
        settings: str = PRICES,
        *,
        workers: int = 1,
        store_url: str | None = None,
        apps: dict[str, str] | None = None,
    ) -> None:
        self.apps = apps or {}
        for name, source in self.apps.items():
            (folder / name).write_text(source)
        self.folder = folder
        self.home = folder / ".noria"
        store = f'[store]\nurl = "{store_url}"\n' if store_url else ""
        (folder / "noria.toml").write_text(
            f"[server]\nport = 0\nworkers = {workers}\n{store}"
            f'[providers.fake]\nbase_url = "{provider.url}"\nprompt_allowance = 0\n{settings}'
        )
        self._count = workers
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def config(self) -> Config:
        """The configuration as the server reads it."""
        return load(self.folder / "noria.toml", environ={})

    @property
    def port(self) -> int:
        """Where the server listens."""
        return int(self.url.rpartition(":")[2])

    def start(self) -> Self:
        """Start the server and wait until it answers."""
        environ = {name: value for name, value in os.environ.items() if name[:6] != "NORIA_"}
        environ[FORBID_REAL_REQUESTS] = "1"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "noria.cli", "serve", *self.apps],
                cwd=self.folder,
                env=environ,
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, 30, f"noria did not start: {self.log()}")
        wait_until(lambda: len(self.workers()) >= self._count, 30, "not all workers came up")
        wait_until(self._apps_settled, 60, f"not all applications came up: {self.log()}")
        return self

    def _apps_settled(self) -> bool:
        known = {app.file: app.state for app in read_apps(self.home).values()}
        states = [known.get(str((self.folder / name).resolve())) for name in self.apps]
        return all(state in (Phase.READY, Phase.FAILED) for state in states)

    def app(self, name: str) -> Manifest:
        """What the home's directory says of an application."""
        return read_apps(self.home)[name]

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"noria ended at once: {self.log()}"
        try:
            serving = json.loads((self.home / "serve.json").read_bytes())
            if serving["pid"] != self._process.pid:
                return False
            self.url = serving["url"]
            return httpx2.get(f"{self.url}/health").status_code == 200
        except (OSError, ValueError, httpx2.HTTPError):
            return False

    def stop(self) -> None:
        """Stop in good order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        """`kill -9` for every process of the server at once."""
        assert self._process is not None
        family = self.processes()
        for process in family:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(family, 30)
        self._process.wait(30)
        self._process = None

    def processes(self) -> list[psutil.Process]:
        """The supervisor and its children."""
        assert self._process is not None
        root = psutil.Process(self._process.pid)
        return [root, *root.children(recursive=True)]

    def workers(self) -> list[psutil.Process]:
        """The processes that answer: each writes a journal, and so do those of applications."""
        return [process for process in self.processes()[1:] if _answers(process)]

    def stop_intake(self) -> None:
        """Let nothing be taken in any more, until the server is killed."""
        answering = {process.pid for process in self.workers()}
        for process in self.processes()[1:]:
            if process.pid not in answering:
                process.suspend()

    def log(self) -> str:
        """What the server printed."""
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    @contextmanager
    def database(self) -> Iterator[Database]:
        """The store of the home, beside the server."""
        config = self.config
        database = Database(config.store_url, config.home)
        try:
            yield database
        finally:
            database.close()

    def key(self, *, budget: str | None = None, **fields: Any) -> str:
        """Make a key and give its secret."""
        with self.database() as db:
            _, secret = create_key(db, budget=Budget.parse(budget) if budget else None, **fields)
        return secret

    def spans(self, *, pending: bool = True, **wanted: Any) -> list[Span]:
        """Every span that was recorded, newest first, after taking in what is `pending`."""
        found: list[Span] = []
        with self.database() as db:
            if pending:
                take_in(db, assemble)
            cursor = None
            while True:
                page = find_spans(db, limit=500, cursor=cursor, **wanted)
                found += page.rows
                cursor = page.next
                if cursor is None:
                    return found

    def budget(self, subject: Subject, name: str | None = None) -> BudgetStatus:
        """How a budget stands, what is pending taken in before."""
        with self.database() as db:
            take_in(db, assemble)
            (status,) = (
                status
                for status in budget_status(db)
                if status.row.subject is subject and name in (None, status.row.name)
            )
            return status

    def client(self, secret: str, **settings: Any) -> httpx2.Client:
        """An HTTP client with a key."""
        given = {"base_url": self.url, "timeout": 30.0, "headers": bearer(secret), **settings}
        return httpx2.Client(**given)

    def talk(self, sent: bytes, timeout: float = 10.0) -> bytes:
        """Send raw bytes over a connection of its own; everything that comes until it closes or
        has been silent for so long."""
        with self.connect(timeout) as connection:
            connection.sendall(sent)
            came = b""
            try:
                while data := connection.recv(65536):
                    came += data
            except (TimeoutError, ConnectionResetError):
                pass
            return came

    def connect(self, timeout: float = 10.0) -> socket.socket:
        """A bare connection to the door."""
        return socket.create_connection(("127.0.0.1", self.port), timeout)


def _answers(process: psutil.Process) -> bool:
    try:
        writes = any(f.path.endswith(".wal") and f.mode != "r" for f in process.open_files())
        return writes and "noria.apps.host.runner" not in process.cmdline()
    except psutil.NoSuchProcess:  # it has ended since it was listed
        return False


def bearer(secret: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"authorization": f"Bearer {secret}"}


def chat(text: str = "Hi", model: str = MODEL, **fields: Any) -> dict[str, Any]:
    """The body of a chat request."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


def wait_until(holds: Callable[[], bool], seconds: float, otherwise: str = "") -> None:
    """Look again and again until something holds; fail after so many seconds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, otherwise or f"it did not hold within {seconds} s"
        time.sleep(0.02)


@pytest.fixture
def fake() -> Iterator[FakeProvider]:
    """A fake provider."""
    with FakeProvider() as provider:
        yield provider


@pytest.fixture
def new_door(tmp_path: Path, fake: FakeProvider) -> Iterator[Callable[..., Door]]:
    """Starts doors before the fake provider, and stops them after the test."""
    doors: list[Door] = []

    def new(settings: str = PRICES, **more: Any) -> Door:
        folder = tmp_path / f"door{len(doors)}"
        folder.mkdir()
        door = Door(folder, fake, settings, **more)
        doors.append(door)
        return door.start()

    yield new
    for door in doors:
        door.stop()


@pytest.fixture
def door(new_door: Callable[..., Door]) -> Door:
    """A running door with one worker."""
    return new_door()
