"""Grants and labels in plain Python: the key is that of NORIA_KEY."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from noria.config import load
from noria.store import create_key, open_database
from tests.governance.support import (
    CLEARANCES,
    LEDGER,
    PEOPLE,
    Answer,
    Person,
    Providers,
    applications,
    expected,
    providers,
    write_papers,
)

CALLER = """
import asyncio, json, sys
import desk
from noria.errors import ApiError

async def main():
    for path, model in json.load(sys.stdin):
        try:
            code, text = None, await desk.answer(f"{path} the ledger", model=f"{model}:m")
        except ApiError as refusal:
            code, text = refusal.code, refusal.message
        print(json.dumps([code, text]), flush=True)

asyncio.run(main())
"""
PATHS = (
    "direct", "step", "to_thread", "thread", "threads", "process", "nested", "gather", "tool",
    "system", "database", "told",
)  # fmt: skip
ASKING = [one for one in PEOPLE if one.name in ("finance-confidential", "nobody-internal")]


@pytest.fixture(scope="module")
def world() -> Iterator[Providers]:
    yield from providers()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, world: Providers) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    (folder / "noria.toml").write_text(world.settings())
    write_papers(folder)
    for name, source in applications().items():
        (folder / name).write_text(source)
    return folder


@pytest.mark.parametrize("person", ASKING, ids=lambda person: person.name)
def test_every_path(person: Person, home: Path, world: Providers) -> None:
    config = load(home / "noria.toml", environ={})
    db = open_database(config)
    _, secret = create_key(db, name=person.name, groups=person.groups, clearance=person.clearance)
    db.close()
    environ = {name: value for name, value in os.environ.items() if name[:6] != "NORIA_"}
    environ |= {"NORIA_KEY": secret, "LEDGER": LEDGER.canary}
    cells = [(path, model) for path in PATHS for model in CLEARANCES]
    done = subprocess.run(
        [sys.executable, "-c", CALLER], cwd=home, env=environ, input=json.dumps(cells),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert len(lines) == len(cells), done.stderr
    faults = []
    for (path, model), line in zip(cells, lines, strict=True):
        code, text = json.loads(line)
        found = Answer(code, text).faults(expected(person, path, model))
        faults += [f"{path} with {model}: {fault}" for fault in found]
    assert not faults, "\n".join(faults)
    assert not world.leaks()
