"""`noria agent`: what an agent is started with, and the agents themselves against a fake model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from noria.store import list_keys
from noria.testing import FakeProvider, Reply, ToolCall
from noria.testing.fake import Received
from noria.types import Usage
from tests.support.door import PRICES, Door

STUB = """#!{python}
import json, os, sys
shown = {{name: value for name, value in os.environ.items() if "KEY" in name or "ANTHROPIC" in name
         or "GEMINI" in name or "OPENCODE" in name}}
print(json.dumps({{"arguments": sys.argv[1:], "environment": shown}}))
sys.exit(7)
"""
PACKAGES = {
    "claude": "@anthropic-ai/claude-code@2.1.197",
    "codex": "@openai/codex@0.171.0",
    "opencode": "opencode-ai@1.18.33",
    "gemini": "@google/gemini-cli@0.61.0",
}
ASKED = {
    "claude": ["-p"],
    "codex": ["exec", "--skip-git-repo-check"],
    "opencode": ["run"],
    "gemini": ["--skip-trust", "-p"],
}
SESSIONS = ("claude", "codex", "opencode")
"""Those that name their session."""


def run(door: Door, path: str, *words: str, home: Path) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name[:6] != "NORIA_"}
    environ |= {"PATH": path + os.pathsep + environ["PATH"], "HOME": str(home)}
    environ["PWD"] = str(door.folder)  # opencode takes its project from here
    environ.pop("XDG_CACHE_HOME", None)
    return subprocess.run(
        [sys.executable, "-m", "noria.cli", "agent", *words],
        cwd=door.folder, env=environ, capture_output=True, text=True, timeout=170,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize("name", PACKAGES)
def test_an_agent_is_started_with_a_key_of_its_own(
    new_door: Callable[..., Door], tmp_path: Path, name: str
) -> None:
    door = new_door()
    stub = tmp_path / "bin" / name
    stub.parent.mkdir()
    stub.write_text(STUB.format(python=sys.executable))
    stub.chmod(0o755)
    words = (name, "--model", "fake:small", "--budget", "2 USD", "--team", "tools", "--", "hello")
    done = run(door, str(stub.parent), *words, home=tmp_path)
    assert done.returncode == 7, done.stderr
    said = json.loads(done.stdout)
    assert said["arguments"][-1] == "hello"
    told = json.dumps(said)
    assert door.url in told
    assert "fake:small" in told or name == "gemini"
    with door.database() as db:
        (key,) = [key for key in list_keys(db) if key.name == f"agent {name}"]
    assert key.team == "tools"
    assert key.revoked_ns is not None


def test_a_login_of_ones_own_passes(new_door: Callable[..., Door], tmp_path: Path) -> None:
    door = new_door()
    stub = tmp_path / "bin" / "claude"
    stub.parent.mkdir()
    stub.write_text(STUB.format(python=sys.executable))
    stub.chmod(0o755)
    done = run(door, str(stub.parent), "claude", "--login", home=tmp_path)
    environment = json.loads(done.stdout)["environment"]
    assert environment["ANTHROPIC_CUSTOM_HEADERS"].startswith("x-noria-key: ")
    assert "ANTHROPIC_AUTH_TOKEN" not in environment


def test_what_is_wrong_is_said(new_door: Callable[..., Door], tmp_path: Path) -> None:
    door = new_door()
    unknown = run(door, "", "copilot", home=tmp_path)
    assert unknown.returncode == 1
    assert "claude, codex, opencode, gemini" in unknown.stderr
    if shutil.which("gemini") is None:
        missing = run(door, "", "gemini", home=tmp_path)
        assert "npm install -g @google/gemini-cli" in missing.stderr
    assert "Traceback" not in unknown.stderr


@pytest.fixture(scope="session")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agents themselves, from npm."""
    if not os.environ.get("NORIA_TEST_AGENTS"):
        pytest.skip("set NORIA_TEST_AGENTS=1 to install the agents from npm and run them")
    given = os.environ["NORIA_TEST_AGENTS"]
    if Path(given).is_dir():
        return Path(given)
    folder = tmp_path_factory.mktemp("npm")
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--prefix", folder, *PACKAGES.values()],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "node_modules" / ".bin"


@pytest.fixture
def house() -> Any:
    """A home for an agent that nobody else may write to, as some of them insist."""
    folder = Path.home() / ".cache" / f"noria-test-agents-{os.getpid()}"
    folder.mkdir(parents=True, mode=0o700)
    yield folder
    shutil.rmtree(folder)


def note_reader(name: str, note: Path) -> Callable[[Received], Reply]:
    """A model that has its agent read a file, and then says that it did."""
    calls = {
        "claude": ToolCall("Read", {"file_path": str(note)}),
        "codex": ToolCall("exec_command", {"cmd": f"cat {note}"}),
        "opencode": ToolCall("read", {"filePath": str(note)}),
        "gemini": ToolCall("read_file", {"file_path": str(note)}),
    }
    usage = Usage(9_000, 12)

    def answer(received: Received) -> Reply:
        messages = received.body["messages"]
        seen = [one for one in messages if one["role"] == "tool"]
        if seen:
            whole = json.dumps(seen)
            return Reply(text=f"The note was read: {'waterwheel' in whole}.", usage=usage)
        if not received.body.get("tools"):
            return Reply(text='{"complexity_reasoning": "easy", "complexity_score": 1}')
        return Reply(tool_calls=[calls[name]], usage=usage)

    return answer


@pytest.mark.agents
@pytest.mark.parametrize("name", PACKAGES)
def test_an_agent_says_hello_and_reads_a_file(
    new_door: Callable[..., Door], fake: FakeProvider, agents: Path, house: Path, name: str
) -> None:
    door = new_door(PRICES.replace("1000.0", "1.0"))
    fake.reply = Reply(text="Hello from the fake model.", usage=Usage(9_000, 7))
    words = (name, "--model", "fake:small", "--budget", "1 USD", "--", *ASKED[name])
    done = run(door, str(agents), *words, "say hello", home=house)
    assert done.returncode == 0, done.stderr
    assert "Hello from the fake model." in done.stdout
    note = door.folder / "note.txt"
    note.write_text("noria is a waterwheel\n")
    fake.reply = note_reader(name, note)
    done = run(door, str(agents), *words, "read the file note.txt", home=house)
    assert done.returncode == 0, done.stderr
    assert "The note was read: True." in done.stdout, done.stdout + done.stderr
    spans = [span for span in door.spans() if span.kind == "chat"]
    assert {span.status for span in spans} == {"ok"}
    owed = fake.owed["small"]
    assert sum(span.cost_nano for span in spans) == 1000 * (owed.input_tokens + owed.output_tokens)
    if name in SESSIONS:
        assert len({span.trace_id for span in spans}) == 2  # a session each
        assert all(span.parent_id is not None for span in spans)
