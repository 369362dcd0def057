"""`noria serve`: how it starts, who may start it twice, what it keeps alive, what it leaks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import psutil
import pytest

from noria.testing import FakeProvider, Fault, Reply
from noria.types import Status
from tests.support.door import PRICES, Door, chat, wait_until

pytest_plugins = ["tests.support.door"]


def start_and_fail(folder: Path, *flags: str, **environ: str) -> str:
    """Start a server that must not come up; what it says on standard error."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NORIA_")}
    ended = subprocess.run(
        [sys.executable, "-m", "noria.cli", "serve", *flags],
        cwd=folder,
        env=kept | environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_a_second_start_on_the_home_says_who_holds_it(door: Door) -> None:
    said = start_and_fail(door.folder)
    assert str(door.home) in said
    assert door.url in said
    assert str(door.processes()[0].pid) in said


def test_a_second_start_on_the_port_says_who_holds_it(door: Door, tmp_path: Path) -> None:
    said = start_and_fail(tmp_path, "--port", str(door.port))
    assert f"Port {door.port}" in said
    assert re.search(r"process \d+ \(.*noria.* serve\) listens there", said)
    assert f"--port {door.port + 1}" in said


def test_a_malformed_file_and_a_short_admin_key_are_told(tmp_path: Path) -> None:
    (tmp_path / "noria.toml").write_text("[server]\nprot = 1\n")
    assert "line 2: server.prot" in start_and_fail(tmp_path)
    (tmp_path / "noria.toml").write_text("[server]\nport = 0\n")
    assert "needs 20" in start_and_fail(tmp_path, NORIA_ADMIN_KEY="short")


def test_the_end_is_orderly_and_the_next_start_finds_everything(door: Door) -> None:
    secret = door.key(budget="10 USD/day")
    with door.client(secret) as client:
        assert client.post("/v1/chat/completions", json=chat()).status_code == 200
    processes = door.processes()
    door.stop()
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive
    assert not (door.home / "serve.json").exists()
    assert not list((door.home / "journal").glob("*.wal"))
    door.start()
    with door.client(secret) as client:
        assert client.post("/v1/chat/completions", json=chat()).status_code == 200
    assert [span.status for span in door.spans()] == [Status.OK, Status.OK]


def test_a_running_answer_ends_before_the_server_does(door: Door, fake: FakeProvider) -> None:
    fake.queue(Reply(text="word " * 20, chunks=20, delay=0.1))
    with (
        door.client(door.key()) as client,
        client.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as reply,
    ):
        lines = reply.iter_lines()
        next(lines)
        door.processes()[0].send_signal(signal.SIGTERM)
        assert [line for line in lines if line][-1] == "data: [DONE]"
    door.stop()
    assert door.spans()[0].status is Status.OK


def test_workers_and_intake_are_started_again_when_they_die(new_door: Callable[..., Door]) -> None:
    door = new_door(PRICES, workers=2)
    root, *children = door.processes()
    for child in children:
        child.kill()
    psutil.wait_procs(children, timeout=10)
    wait_until(lambda: len(root.children()) >= 4, 15)

    def answers() -> bool:
        try:
            return httpx2.get(f"{door.url}/health").status_code == 200
        except httpx2.HTTPError:
            return False

    wait_until(answers, 15)
    with door.client(door.key()) as client:
        assert client.post("/v1/chat/completions", json=chat()).status_code == 200
    wait_until(lambda: len(door.spans()) == 1, 10)


def test_no_secret_appears_in_logs_records_or_errors(
    new_door: Callable[..., Door], fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider_key = "sk-canary-provider-key-0123456789"
    monkeypatch.setenv("FAKE_KEY", provider_key)
    settings = f"api_key_env = 'FAKE_KEY'\n[routing]\nretries = 0\n{PRICES}"
    door = new_door(settings)
    secret = door.key()
    shown = ""
    with door.client(secret) as client:
        for fault in (None, *Fault):
            if fault in (Fault.STALL, Fault.STALL_MID_STREAM, Fault.HUGE_BODY, Fault.REFUSE):
                continue
            fake.queue(Reply(fault=fault))
            shown += client.post("/v1/chat/completions", json=chat()).text
        fake.queue(Reply(status=401, text=f"Incorrect API key provided: {provider_key}"))
        shown += client.post("/v1/chat/completions", json=chat()).text
    assert fake.requests[0].headers["authorization"] == f"Bearer {provider_key}"
    door.spans()
    admin = (door.home / "admin-key").read_text().strip()
    own = {"admin-key", "local-key"}
    kept = b"".join(
        path.read_bytes()
        for path in door.home.rglob("*")
        if path.is_file() and path.name not in own
    )
    log = (door.folder / "log").read_text()
    for canary in (provider_key, secret, admin):
        assert canary not in shown
        assert canary not in log
        assert canary.encode() not in kept
