"""Grants and labels in plain Python and in batches: the key is that of NORIA_KEY."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from noria.config import load
from noria.store import create_key, open_database
from tests.governance.support import (
    CLEARANCES,
    LEDGER,
    PAPERS,
    PEOPLE,
    Answer,
    Person,
    Providers,
    applications,
    canaries,
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


@pytest.fixture
def environ(request: pytest.FixtureRequest, home: Path) -> dict[str, str]:
    """The environment of a process that works for the test's person."""
    person: Person = request.getfixturevalue("person")
    db = open_database(load(home / "noria.toml", environ={}))
    _, secret = create_key(db, name=person.name, groups=person.groups, clearance=person.clearance)
    db.close()
    environ = {name: value for name, value in os.environ.items() if name[:6] != "NORIA_"}
    return environ | {"NORIA_KEY": secret, "LEDGER": LEDGER.canary}


CELLS = [(path, model) for path in PATHS for model in CLEARANCES]


def run(arguments: list[str], home: Path, environ: dict[str, str], given: str = "") -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=home, env=environ, input=given,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def faults_of(person: Person, answers: list[Answer]) -> list[str]:
    assert len(answers) == len(CELLS)
    return [
        f"{path} with {model}: {fault}"
        for (path, model), answer in zip(CELLS, answers, strict=True)
        for fault in answer.faults(expected(person, path, model))
    ]


@pytest.mark.parametrize("person", ASKING, ids=lambda person: person.name)
def test_every_path_in_a_script(
    person: Person, home: Path, environ: dict[str, str], world: Providers
) -> None:
    said = run(["-c", CALLER], home, environ, json.dumps(CELLS))
    faults = faults_of(person, [Answer(*json.loads(line)) for line in said.splitlines()])
    faults += world.leaks()
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("person", ASKING, ids=lambda person: person.name)
def test_every_path_in_a_batch(
    person: Person, home: Path, environ: dict[str, str], world: Providers
) -> None:
    """Many rows at the same time, each a run with a mark of its own."""
    rows = [{"question": f"{path} the ledger", "model": f"{model}:m"} for path, model in CELLS]
    source, out = home / f"{person.name}.jsonl", home / f"{person.name}-out.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = ["--in", str(source), "--out", str(out)]
    run(["-m", "noria.cli", "run", "desk.py", "desk.answer", *files], home, environ)
    done = sorted(map(json.loads, out.read_text().splitlines()), key=lambda row: row["index"])
    answers = [
        Answer(row["error"]["code"], row["error"]["message"])
        if row["error"]
        else Answer(None, row["output"])
        for row in done
    ]
    faults = faults_of(person, answers) + world.leaks()
    assert not faults, "\n".join(faults)


def evaluated(world: Providers, home: Path, environ: dict[str, str], judge: str) -> list[Any]:
    """An evaluation of the desk, which reads, by a judge; gives the judgements."""
    asked = {"question_id": "1", "category": "a", "turns": ["direct the ledger", "direct it again"]}
    (home / "questions.jsonl").write_text(json.dumps(asked) + "\n")
    contestants = ["--contestants", "desk.py:desk@safe,safe:m", "--baseline", "safe:m"]
    out = home / f"eval-{judge}"
    options = ["--judge", f"{judge}:judge", "--out", str(out), "--yes"]
    run(
        ["-m", "noria.cli", "eval", "run", "questions.jsonl", *contestants, *options], home, environ
    )
    answers = (out / "answers.jsonl").read_text()
    assert {paper.canary for paper in PAPERS if ASKING[0].may_see(paper)} <= canaries(answers)
    found = out / "judgements.jsonl"
    return list(map(json.loads, found.read_text().splitlines())) if found.exists() else []


@pytest.mark.parametrize("person", ASKING[:1], ids=lambda person: person.name)
def test_a_judge_of_evaluations_is_told_what_it_is_cleared_for(
    person: Person, home: Path, environ: dict[str, str], world: Providers
) -> None:
    """Also the checks of the application, whose judge is at the open provider."""
    told = evaluated(world, home, environ, "safe")
    assert {row["contestant"] for row in told} == {"desk.py:desk@safe", "safe:m"}
    kept = evaluated(world, home, environ, "open")
    assert {row["contestant"] for row in kept} <= {"safe:m"}
    assert not world.leaks()
