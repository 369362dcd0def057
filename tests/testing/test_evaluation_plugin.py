"""Evaluations as ordinary tests, run by a pytest of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from noria.testing import FORBID_REAL_REQUESTS, FakeProvider, Reply
from tests.support.door import PRICES, Door

APP = """
from noria import App, check

app = App("desk", model="fake:small")
app.variant("loud", model="fake:large")


@app.chat
async def answer(question: str) -> str:
    return await app.model.ask("Answer.", question=question)


@check(answer)
def polite(reply: str) -> bool:
    return "please" in reply
"""


@pytest.fixture
def project(tmp_path: Path, fake: FakeProvider) -> Path:
    Door(tmp_path, fake, PRICES)
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["noria.testing.plugin"]\n')
    return tmp_path


def run(project: Path, tests: str, settings: str = "") -> subprocess.CompletedProcess[str]:
    (project / "test_desk.py").write_text("import pytest\n\n" + tests)
    (project / "pytest.ini").write_text(f"[pytest]\n{settings}\n")
    environ = {name: value for name, value in os.environ.items() if name[:6] != "NORIA_"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers"],
        cwd=project, env=environ | {FORBID_REAL_REQUESTS: "1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_an_application_is_asked_and_its_checks_are_seen(project: Path, fake: FakeProvider) -> None:
    fake.reply = lambda received: Reply(text=f"{received.body['model']}, please")
    done = run(
        project,
        """
def test_small(app):
    reply = app.ask("Hi")
    assert reply.text == "small, please"
    assert reply.checks == {"polite": "pass"}

@pytest.mark.noria(app="app.py:desk@loud")
def test_variant(app):
    assert app.run(question="Hi").text == "large, please"
""",
        "noria_app = app.py",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_repeats_pass_by_their_rate(project: Path, fake: FakeProvider) -> None:
    numbers = count()
    fake.reply = lambda received: Reply(text="yes" if next(numbers) % 4 else "no")
    tests = """
@pytest.mark.noria(app="app.py", repeats=8, at_least={least})
def test_mostly(app):
    assert app.ask("Hi").text == "yes"
"""
    kind = run(project, tests.format(least=0.7))
    assert "1 passed" in kind.stdout, kind.stdout
    strict = run(project, tests.format(least=0.95))
    assert strict.returncode == 1
    assert "6 of 8 runs passed (75%, between 41% and 93%); at least 95% must." in strict.stdout
    assert "AssertionError" in strict.stdout


def test_without_a_name_it_is_said_how_to_give_one(project: Path) -> None:
    done = run(project, "def test_nothing(app):\n    app.ask('Hi')\n")
    assert done.returncode != 0
    assert "noria_app = app.py" in done.stdout + done.stderr
