"""A judge at the battles of people: it votes once on each; what it said is kept for judging it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from noria.store.evals.battles import Battle, Turn, list_battles, record_battle
from noria.store.evals.judgements import judges, looks_of, unseen_battles
from noria.store.evals.pair_counts import count_pairs
from noria.testing import FakeProvider, Reply
from noria.testing.fake import Received
from tests.evals.evaluation.test_run import SETTINGS, environ
from tests.support.door import Door


@pytest.fixture
def home(tmp_path: Path, fake: FakeProvider) -> Door:
    from noria.store import open_database

    door = Door(tmp_path, fake, SETTINGS)
    db = open_database(door.config)
    for number in range(4):
        turn = Turn(1, f"question {number}", "a good answer", "a bad one", "ok", "ok")
        record_battle(
            db,
            Battle("x", "y", "person", winner="model_a", turns=(turn,), voted_ns=1),
        )
    record_battle(db, Battle("x", "y", "person", winner="model_a", excluded="refusal"))
    db.close()
    return door


def says(received: Received) -> Reply:
    prompt = received.body["messages"][-1]["content"]
    if "question 3" in prompt:
        return Reply(text="[[A]]")  # whoever is shown first
    good_first = prompt.index("a good answer") < prompt.index("a bad one")
    return Reply(text="[[A]]" if good_first else "[[B]]")


def judge(home: Door) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "noria.cli", "arena", "judge", "--judge", "fake:judge"],
        cwd=home.folder, env=environ(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_every_battle_is_judged_once_in_both_orders(home: Door, fake: FakeProvider) -> None:
    fake.reply = says
    done = judge(home)
    assert done.returncode == 0, done.stderr
    assert "4 battles judged by fake:judge." in done.stderr
    assert len(fake.requests) == 8
    with home.database() as db:
        (pair,) = count_pairs(db, sources=("judge",))
        assert (pair.wins_a, pair.wins_b, pair.ties) == (3, 0, 0)
        (out,) = list_battles(db, source="judge", excluded="judge: inconsistent")
        assert judges(db) == {"fake:judge": 4}
        seen = looks_of(db, "fake:judge")
        assert {one.people for one in seen} == {"model_a"}
        assert {(one.look.shown, one.look.exchanged) for one in seen} == {("a", "b"), ("a", "a")}
        assert {one.length_a for one in seen} == {len("a good answer")}
        assert not list(unseen_battles(db, "fake:judge", 10))
        assert out.judge == "fake:judge"
    assert "0 battles judged" in judge(home).stderr
