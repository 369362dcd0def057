"""Processes of applications: loaded anew when their files change, started again when they die."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2
import psutil
import pytest

from noria.apps.host.file_watch import FileWatcher
from noria.apps.serve.manifest import Phase, read_apps
from noria.models import assemble
from noria.store import find_trace, take_in
from noria.types import Status
from tests.apps.serving import MIRROR
from tests.support.door import Door, chat, wait_until

APP = """
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from noria import App

app = App("{name}")
here = Path(__file__).parent


@app.chat
async def answer(question: str) -> AsyncIterator[str]:
    yield "{version}"
    while question != "quick" and not (here / question).exists():
        await asyncio.sleep(0.01)
    yield " to the end"
"""


def source(name: str = "shop", version: str = "old") -> str:
    return APP.format(name=name, version=version)


def say(client: httpx2.Client, app: str = "shop", question: str = "quick") -> str:
    answer = client.post("/v1/chat/completions", json=chat(question, model=app))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


@contextmanager
def streaming(client: httpx2.Client, question: str) -> Iterator[Iterator[str]]:
    """The pieces of an answer that goes on until a file named `question` is there."""
    body = chat(question, model="shop", stream=True)
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        yield (line for line in answer.iter_lines() if '"content":"' in line)


@pytest.fixture
def shop(new_door: Callable[..., Door]) -> Door:
    return new_door(apps={"app.py": source()})


def test_a_changed_file_takes_over_and_answers_that_stream_are_not_broken(shop: Door) -> None:
    with shop.client(shop.key()) as client:
        before = shop.app("shop").pid
        with streaming(client, "go") as pieces:
            assert '"old"' in next(pieces)
            (shop.folder / "app.py").write_text(source(version="new"))
            wait_until(lambda: shop.app("shop").pid != before, 30)
            assert say(client) == "new to the end"
            (shop.folder / "go").touch()
            assert " to the end" in next(pieces)
            assert list(pieces) == []
        assert before is not None
        wait_until(lambda: not psutil.pid_exists(before), 30)
        assert say(client) == "new to the end"


def test_a_file_that_does_not_load_leaves_the_old_one_serving(shop: Door) -> None:
    with shop.client(shop.key()) as client:
        (shop.folder / "app.py").write_text(source(version="broken") + "\ndef :\n")
        wait_until(lambda: shop.app("shop").error is not None, 30)
        known = shop.app("shop")
        line = source().count("\n") + 2
        assert known.state == Phase.READY
        assert f"app.py, line {line}" in (known.error or "")
        assert f"app.py, line {line}" in shop.log()
        assert f"app.py, line {line}" in (shop.home / "log" / "apps.log").read_text()
        assert say(client) == "old to the end"
        (shop.folder / "app.py").write_text(source(version="mended"))
        wait_until(lambda: shop.app("shop").error is None, 30)
        assert say(client) == "mended to the end"


def test_a_module_of_the_folder_is_watched_as_well(new_door: Callable[..., Door]) -> None:
    text = source().replace('"old"', "words.GREETING").replace("import asyncio", "import words")
    text = text.replace("from pathlib", "import asyncio\nfrom pathlib")
    door = new_door(apps={"app.py": text})
    assert door.app("shop").state == Phase.FAILED  # there is no such module
    (door.folder / "words.py").write_text('GREETING = "hello"\n')
    (door.folder / "app.py").write_text(text + "\n")
    wait_until(lambda: door.app("shop").state == Phase.READY, 30)
    with door.client(door.key()) as client:
        assert say(client) == "hello to the end"
        before = door.app("shop").pid
        (door.folder / "words.py").write_text('GREETING = "goodbye"\n')
        wait_until(lambda: door.app("shop").pid != before, 30)
        assert say(client) == "goodbye to the end"


def test_a_killed_process_loses_its_run_and_is_started_again(shop: Door) -> None:
    with shop.client(shop.key()) as client:
        before = shop.app("shop").pid
        assert before is not None
        with streaming(client, "never") as pieces:
            next(pieces)
            os.kill(before, signal.SIGKILL)
            (last,) = list(pieces) or [""]
        wait_until(lambda: shop.app("shop").state == Phase.READY, 30)
        assert say(client) == "old to the end"
        assert shop.app("shop").pid != before
    lost = [span for span in shop.spans(app="shop") if span.status is Status.LOST]
    assert [span.name for span in lost] == ["shop.answer"]
    assert last == ""


def test_calls_that_come_while_there_is_no_process_wait_for_the_next_one(shop: Door) -> None:
    with shop.client(shop.key()) as client:
        for _ in range(2):
            pid = shop.app("shop").pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            assert say(client) == "old to the end"


def test_an_application_that_keeps_dying_is_answered_for(new_door: Callable[..., Door]) -> None:
    dying = source() + "\nimport os\nif not (here / 'well').exists():\n    os._exit(7)\n"
    door = new_door(apps={"app.py": dying})
    with door.client(door.key()) as client:
        wait_until(lambda: door.app("shop").state == Phase.FAILED, 30)
        refused = client.post("/v1/chat/completions", json=chat(model="shop"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "app_unavailable")
        message = refused.json()["error"]["message"]
        assert "shop" in message
        assert "exit code 7" in message
        assert int(refused.headers["retry-after"]) > 0
        refused = client.post("/apps/shop/answer", json={"question": "Hi"})
        assert refused.json()["error"]["code"] == "app_unavailable"
        (door.folder / "well").touch()
        (door.folder / "app.py").write_text(dying + "\n")
        wait_until(lambda: door.app("shop").state == Phase.READY, 30)
        assert say(client) == "old to the end"
    spans = [span for span in door.spans(app="shop") if span.error_code == "app_unavailable"]
    assert len(spans) == 2


def test_a_file_that_never_loaded_is_answered_for_with_its_line(
    new_door: Callable[..., Door],
) -> None:
    door = new_door(apps={"app.py": source() + "\nprint(undefined)\n"})
    line = source().count("\n") + 2
    with door.client(door.key()) as client:
        refused = client.post("/v1/chat/completions", json=chat(model="shop"))
        assert refused.status_code == 503
        assert f"app.py, line {line}: NameError" in refused.json()["error"]["message"]
        (door.folder / "app.py").write_text(source())
        wait_until(lambda: door.app("shop").state == Phase.READY, 30)
        assert say(client) == "old to the end"


def test_two_applications_with_one_name_are_told_apart(new_door: Callable[..., Door]) -> None:
    door = new_door(apps={"app.py": source(), "second.py": "\n\n" + source(version="other")})
    failed = [app for app in read_apps(door.home).values() if app.state == Phase.FAILED]
    assert len(failed) == 1
    error = failed[0].error or ""
    assert "app.py, line 8" in error
    assert "second.py, line 10" in error
    with door.client(door.key()) as client:
        assert say(client) in ("old to the end", "other to the end")
        winner = door.app("shop").file
        loser = "second.py" if winner.endswith("app.py") else "app.py"
        (door.folder / loser).write_text(source("stall", "renamed"))
        wait_until(lambda: "stall" in read_apps(door.home), 30)
        wait_until(lambda: door.app("stall").state == Phase.READY, 30)
        assert say(client, "stall") == "renamed to the end"
        assert set(read_apps(door.home)) == {"shop", "stall"}


def test_an_application_cannot_have_the_name_of_a_route(new_door: Callable[..., Door]) -> None:
    door = new_door('[models.shop]\ntargets = ["fake:small"]\n', apps={"app.py": source()})
    assert door.app("shop").state == Phase.FAILED
    assert "noria.toml" in (door.app("shop").error or "")


def test_without_reload_a_changed_file_is_left_alone(new_door: Callable[..., Door]) -> None:
    door = new_door("[apps]\nreload = false\n", apps={"app.py": source()})
    file = door.folder / "app.py"
    with door.client(door.key()) as client:
        before = door.app("shop").pid
        assert before is not None
        host = psutil.Process(before).parent()
        assert host is not None
        runners = {child.pid for child in host.children()}
        for number in range(3):  # a watcher beside noria's would have taken each of these over
            watch = FileWatcher([file])
            file.write_text(source(version=f"new {number}"))
            asyncio.run(asyncio.wait_for(watch.changed(), 30))
            assert say(client) == "old to the end"
        assert {child.pid for child in host.children()} == runners
        assert door.app("shop").pid == before
        file.write_text(source(version="new"))
        os.kill(before, signal.SIGKILL)  # its next process reads the file as it is
        wait_until(lambda: door.app("shop").pid not in (before, None), 30)
        assert say(client) == "new to the end"


def test_a_server_that_ends_leaves_nothing_running(shop: Door) -> None:
    family = shop.processes()
    runner = shop.app("shop").pid
    assert runner in [process.pid for process in family]
    shop.stop()
    assert [process for process in family if process.is_running()] == []
    assert shop.app("shop").state == Phase.STOPPED


def test_a_killed_host_takes_its_processes_along_and_comes_back(shop: Door) -> None:
    runner = psutil.Process(shop.app("shop").pid)
    host = runner.parent()
    assert host is not None
    host.kill()
    runner.wait(30)
    with shop.client(shop.key()) as client:
        assert say(client) == "old to the end"


def test_a_killed_host_takes_a_blocked_process_along(new_door: Callable[..., Door]) -> None:
    door = new_door(apps={"app.py": MIRROR})
    runner = psutil.Process(door.app("mirror").pid)
    host = runner.parent()
    assert host is not None
    with door.connect() as caller:
        body = b'{"name": "held"}'
        caller.sendall(
            b"POST /apps/mirror/hold HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (door.key().encode(), len(body), body)
        )
        wait_until((door.folder / "held").exists, 30)
        host.kill()
        runner.wait(40)
    with door.client(door.key()) as client:
        answer = client.post("/apps/mirror/whisper", json={"text": "again"})
        assert answer.json() == "again"


def test_a_file_that_is_not_there_is_said_at_once(new_door: Callable[..., Door]) -> None:
    door = new_door()
    done = subprocess.run(
        [sys.executable, "-m", "noria.cli", "serve", "nothing.py", "--port", "0"],
        cwd=door.folder,
        env=os.environ | {"NORIA_HOME": str(door.folder / "other")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "There is no file nothing.py." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_kill_of_everything_keeps_what_was_seen(shop: Door) -> None:
    with shop.client(shop.key()) as client:
        answer = client.post("/v1/chat/completions", json=chat("quick", model="shop"))
        with streaming(client, "never") as pieces:
            next(pieces)
            shop.kill()
    shop.start()
    with shop.database() as db:
        take_in(db, assemble)
        (seen,) = find_trace(db, answer.headers["x-noria-trace"])
    assert seen.span.status is Status.OK
    statuses = sorted(str(span.status) for span in shop.spans(app="shop"))
    assert statuses == ["lost", "ok"]
