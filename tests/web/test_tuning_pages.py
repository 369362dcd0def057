"""Tuning, cards and promotion, as pages of a home."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from noria.models.own import Card, OwnModels
from noria.models.promotions import Promotions
from noria.store.evals.battles import Battle, record_battle
from noria.tuning.promotion import battle_scores, evidence_of
from tests.support.pages import serve_pages
from tests.support.seed import Seeded, seed
from tests.web.conftest import Site

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Seeded]]:
    seeded = seed(tmp_path_factory.mktemp("tuned"), 20)
    own = OwnModels(seeded.db.home)
    card = Card(
        "mill", "adapter", "tune", "0" * 64, "adapter.gguf", 8192, "Apache-2.0",
        base="smollm2", parent="smollm2",
        data=[{"name": HOSTILE, "sha256": "1" * 64, "rows": 300, "label": "public"}],
        parameters={"method": "lora"},
        figures={"steps": 2, "base_loss": 2.5, "held_out_loss": 0.1, "stopped": "done"},
        curve=[
            {"step": 1, "loss": 2.0, "held_out": None},
            {"step": 2, "loss": 0.5, "held_out": 0.1},
        ],
        samples=[{"prompt": HOSTILE, "before": "a lamp", "after": "Ilvane"}],
    )  # fmt: skip
    for one in (card, replace(card, name="mill-q4_0", parent="mill", curve=[])):
        with own.preparing(one.name) as work:
            own.write(one, work)
    with serve_pages(seeded) as (url, door):
        yield Site(url, door, seeded), seeded


@pytest.fixture
def admin(home: tuple[Site, Seeded]) -> Iterator[httpx2.Client]:
    with home[0].sign_in() as client:
        yield client


def test_a_tuned_model_is_shown_with_its_curve(admin: httpx2.Client) -> None:
    page = admin.get("/tuning")
    assert page.status_code == 200
    assert "local:mill" in page.text
    assert "<svg" in page.text


def test_a_card_shows_what_it_was_made_of_and_nothing_runs(admin: httpx2.Client) -> None:
    page = admin.get("/models/mill")
    assert page.status_code == 200
    for text in ("1" * 64, "Ilvane", "a lamp", "local:mill-q4_0"):
        assert text in page.text
    assert HOSTILE not in page.text
    assert admin.get("/models/nobody").status_code == 404


def test_promotions_are_shown_and_taken_back(
    admin: httpx2.Client, home: tuple[Site, Seeded]
) -> None:
    promotions = Promotions(home[1].db.home)
    assert admin.get("/promotion").status_code == 200
    promotions.promote("support", "local:mill", "local:smollm2", {"battles": 40})
    assert "local:mill" in admin.get("/promotion").text
    admin.post("/promotion/rollback", data={"app": "support"})
    assert promotions.in_force("support") is None


def test_battles_are_counted_from_either_side(home: tuple[Site, Seeded]) -> None:
    db = home[1].db
    for number in range(12):
        two = ("local:mill", "local:smollm2") if number % 2 else ("local:smollm2", "local:mill")
        won = "model_a" if two[0] == "local:mill" else "model_b"
        record_battle(
            db, Battle(*two, "voter", winner=won if number < 11 else "tie", voted_ns=number + 1)
        )
    scores = battle_scores(db, "local:mill", ["local:smollm2"])
    assert scores == [1.0] * 11 + [0.5]
    evidence = evidence_of("local:mill", "local:smollm2", scores)
    assert evidence.enough
    assert evidence.low > 0.5


def test_others_may_not_see_them(home: tuple[Site, Seeded], tmp_path: Path) -> None:
    with httpx2.Client(base_url=home[0].url) as client:
        for path in ("/tuning", "/models/mill", "/promotion"):
            assert client.get(path).status_code in (303, 401)
