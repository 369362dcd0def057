"""Arena, leaderboard, battles, evaluations and judges, as pages of a seeded home."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from noria.evals.evaluation.folder import Folder
from noria.evals.evaluation.registry import register
from noria.evals.evaluation.report import report_of
from noria.evals.evaluation.results import read_results
from noria.store import create_key, raise_mark
from noria.store.evals.battles import (
    ANYBODY,
    Battle,
    Turn,
    find_battle,
    next_waiting,
    record_battle,
)
from noria.store.evals.judgements import JudgeVerdict, add_looks
from noria.types import Label
from tests.support.pages import serve_pages
from tests.support.seed import Seeded, seed
from tests.web.conftest import Site
from tests.web.test_pages import Attributes

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>"
SHADOW = (
    '[shadow."acme:big"]\nchallenger = "local:smollm2"\nshare = 1\nbudget = "1 USD"\n'
    '[arena]\ncontestants = ["acme:big", "local:smollm2"]\n'
)


def fill(seeded: Seeded, folder: Path) -> str:
    """Battles of people, of a judge and of a challenger, and an evaluation; gives its id."""
    db = seeded.db
    admin, other = seeded.keys["admin"].id, "key_other"
    turn = Turn(1, HOSTILE, HOSTILE, "A **longer** answer.", "ok", "ok")
    for number in range(30):
        winner = ("model_a", "model_b", "tie", "tie (bothbad)")[number % 4]
        battle = Battle(
            "acme:big", "local:smollm2", admin if number % 2 else other, winner=winner,
            turns=(turn,), voted_ns=1, category="coding" if number % 3 else "math",
            excluded="refusal" if number == 7 else None,
        )  # fmt: skip
        record_battle(db, battle)
        chosen = ("a", "b", "tie", "a")[number % 4]
        add_looks(
            db, [JudgeVerdict(battle.id, "acme:judge", 0, number, "winner", chosen, chosen, "b")]
        )
    record_battle(
        db,
        Battle("acme:big", "local:smollm2", ANYBODY, source="shadow", arena="acme:big",
               turns=(turn,)),
    )  # fmt: skip
    manifest = {"questions": "golden.jsonl", "contestants": ["x", HOSTILE], "baseline": "x",
                "judge": {"model": "acme:judge"}, "repeats": 1}  # fmt: skip
    made = Folder.begin(folder / "evaluation", manifest)
    for number in range(30):
        for who, score in (("x", 5), (HOSTILE, 4 + number % 4)):
            made.add("answers", {
                "question_id": str(number), "category": "math" if number % 2 else "writing",
                "contestant": who, "repeat": 0, "questions": [HOSTILE], "answers": [HOSTILE],
                "traces": ["t"], "ms": [12.0], "checks": [{"polite": "pass"}], "error": None,
            })  # fmt: skip
            made.add("judgements", {
                "look": "single", "question_id": str(number), "category": "math",
                "contestant": who, "repeat": 0, "turn": 0, "kind": "score", "score": score,
            })  # fmt: skip
    register(db, made, report_of(read_results(made)))
    from noria.evals.evaluation.registry import list_evaluations

    return list_evaluations(db)[0].id


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, str]]:
    folder = tmp_path_factory.mktemp("judged")
    seeded = seed(folder, 40, settings=SHADOW)
    identity = fill(seeded, folder)
    with serve_pages(seeded) as (url, door):
        yield Site(url, door, seeded), identity


@pytest.fixture
def admin(judged: tuple[Site, str]) -> Iterator[httpx2.Client]:
    with judged[0].sign_in() as client:
        yield client


def test_pages_are_whole_light_and_escape_what_models_say(
    judged: tuple[Site, str], admin: httpx2.Client
) -> None:
    paths = [
        "/arena", "/leaderboard", "/leaderboard?style=1", "/leaderboard?votes=both&category=math",
        "/leaderboard?arena=acme%3Abig", "/battles", "/battles?excluded=refusal", "/battles/next",
        "/evaluations", f"/evaluations/{judged[1]}", "/judges",
    ]  # fmt: skip
    for path in paths:
        answer = admin.get(path)
        assert answer.status_code == 200, path
        assert len(answer.content) < 100_000, path
        assert answer.text.rstrip().endswith("</html>")
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        seen = Attributes()
        seen.feed(answer.text)
        assert not {name for name in seen.names if name == "style" or name.startswith("on")}
        assert not seen.inline


def test_the_leaderboard_shows_ratings_what_is_set_apart_and_the_matrix(
    admin: httpx2.Client,
) -> None:
    text = admin.get("/leaderboard").text
    assert "29 battles count" in text
    assert "1 refusal" in text
    assert "Who beat whom" in text
    assert 'class="dot"' in text
    assert "No battle counts yet" in admin.get("/leaderboard?votes=judge").text
    assert "29 battles count" in admin.get("/leaderboard?since=7d").text
    assert "No battle counts yet" in admin.get("/leaderboard?language=xx").text
    assert 'aria-label="Votes"' in text
    # All answers are alike here, so style explains nothing, and with a ridge that is no obstacle.
    assert "Without style control" not in admin.get("/leaderboard?style=1").text


def test_a_challenge_shows_what_waits_and_a_person_decides_once(
    judged: tuple[Site, str], admin: httpx2.Client
) -> None:
    db = judged[0].seeded.db
    assert "Waiting for a person" in admin.get("/leaderboard?arena=acme%3Abig").text
    page = admin.get("/battles/next").text
    assert "acme:big" not in page.split("<main")[1]  # names only after the vote
    waiting = next_waiting(db)
    assert waiting is not None
    hidden = admin.get(f"/battles/{waiting.id}")
    assert hidden.status_code == 404
    wrong = admin.post(f"/battles/{waiting.id}/vote", data={"winner": "me"})
    assert wrong.status_code == 400
    done = admin.post(f"/battles/{waiting.id}/vote", data={"winner": "model_b"})
    assert done.status_code == 303
    assert find_battle(db, waiting.id).winner == "model_b"
    admin.post(f"/battles/{waiting.id}/vote", data={"winner": "model_a"})
    assert find_battle(db, waiting.id).winner == "model_b"
    assert "No battle waits for a person" in admin.get("/battles/next").text


def test_an_evaluation_shows_means_differences_and_what_differs_most_first(
    judged: tuple[Site, str], admin: httpx2.Client
) -> None:
    text = admin.get(f"/evaluations/{judged[1]}").text
    assert "x = 100" in text
    assert "questions to see it" in text.lower()
    assert "20 of 30 questions" in text
    first = text.split("Side by side")[1].split("Question ")[1].split("<")[0]
    assert int(first) % 4 == 3  # 4 + 3 against 5
    assert admin.get("/evaluations/nothing").status_code == 404


def test_a_judge_is_told_how_far_it_agrees_with_people(admin: httpx2.Client) -> None:
    text = admin.get("/judges").text
    assert "acme:judge" in text
    assert "Agrees with people" in text
    assert "Too few battles were decided by both to trust it." in text


def test_others_see_their_own_battles_only(judged: tuple[Site, str]) -> None:
    site, identity = judged
    with site.sign_in("ana") as client:
        assert client.get("/battles").text.count("data-href") == 0
        assert client.get("/evaluations").status_code == 403
        assert client.get(f"/evaluations/{identity}").status_code == 403
        assert client.get("/judges").status_code == 403
        assert client.get("/battles/next").status_code == 403


def test_texts_above_ones_clearance_are_not_shown(judged: tuple[Site, str]) -> None:
    site, identity = judged
    db = site.seeded.db
    _, secret = create_key(db, admin=True, clearance=Label.INTERNAL)
    raise_mark(db, "m" * 32, Label.CONFIDENTIAL)
    turn = Turn(1, "secret question", "secret answer", "other", "ok", "ok", None, "m" * 32)
    fought = Battle("x", "y", "key_other", winner="tie", turns=(turn,), voted_ns=1)
    waiting = Battle("x", "y", ANYBODY, source="shadow", turns=(turn,))
    for battle in (fought, waiting):
        record_battle(db, battle)
    with httpx2.Client(base_url=site.url, headers={"Origin": site.url}) as client:
        assert client.post("/signin", data={"key": secret}).status_code == 303
        page = client.get(f"/battles/{fought.id}").text
        assert "they are not shown" in page
        assert "secret" not in page
        assert "secret" not in client.get("/battles/next").text
    lower, cleared = (next_waiting(db, one) for one in (Label.INTERNAL, Label.CONFIDENTIAL))
    assert lower is None
    assert cleared is not None
    assert cleared.id == waiting.id
    raise_mark(db, "t", Label.CONFIDENTIAL)
    with httpx2.Client(base_url=site.url, headers={"Origin": site.url}) as client:
        client.post("/signin", data={"key": secret})
        told = client.get(f"/evaluations/{identity}").text
        assert "Something confidential was read for it" in told
