"""Battles through the door: nobody is named before the vote; each vote counts once, or says why."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from noria.store.evals.battles import find_battle, list_battles
from noria.store.evals.pair_counts import count_pairs, excluded_by_reason
from noria.testing import FakeProvider, Fault, Reply
from noria.testing.fake import Received
from tests.support.door import PRICES, Door

SETTINGS = (
    '[arena]\ncontestants = ["fake:small", "fake:large"]\nforbidden = ["forbidden fruit"]\n'
    + PRICES
    + '[prices."fake:large"]\ninput = 1000.0\noutput = 1000.0\n'
)
Says = dict[str, Reply]


@pytest.fixture
def arena(new_door: Callable[..., Door], fake: FakeProvider) -> Iterator[Callable[..., Arena]]:
    door = new_door(SETTINGS)
    clients = []

    def enter(**key: Any) -> Arena:
        client = door.client(door.key(**key))
        clients.append(client)
        return Arena(door, client, fake)

    yield enter
    for client in clients:
        client.close()


class Arena:
    """What a page of the arena does."""

    def __init__(self, door: Door, client: httpx2.Client, fake: FakeProvider) -> None:
        self.door, self.client, self.fake = door, client, fake

    def say(self, **says: str | Reply) -> None:
        replies = {
            name: Reply(text=one) if isinstance(one, str) else one for name, one in says.items()
        }

        def reply(received: Received) -> Reply:
            return replies[received.body["model"]]

        self.fake.reply = reply

    def begin(self) -> str:
        answer = self.client.post("/v1/arena/battles", json={"category": "coding"})
        assert answer.status_code == 201
        assert set(answer.json()) == {"id"}
        return str(answer.json()["id"])

    def ask(self, battle: str, question: str = "Hi") -> tuple[dict[str, str], dict[str, Any], str]:
        answer = self.client.post(f"/v1/arena/battles/{battle}/turns", json={"question": question})
        assert answer.status_code == 200, answer.text
        texts, ends = {"a": "", "b": ""}, {}
        for line in answer.text.splitlines():
            if line.startswith("data:") and "[DONE]" not in line:
                event = json.loads(line[5:])
                texts[event["side"]] += event.get("text", "")
                if "end" in event:
                    ends[event["side"]] = event["end"]
        return texts, ends, answer.text

    def vote(self, battle: str, winner: str = "model_a") -> httpx2.Response:
        return self.client.post(f"/v1/arena/battles/{battle}/vote", json={"winner": winner})

    def fight(self, question: str = "Hi", winner: str = "model_a") -> dict[str, Any]:
        battle = self.begin()
        self.ask(battle, question)
        answer = self.vote(battle, winner)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def test_two_answers_stream_and_the_names_come_with_the_vote(
    arena: Callable[..., Arena],
) -> None:
    one = arena(team="voters")
    one.say(small="I say one thing.", large="I say another.")
    battle = one.begin()
    texts, ends, raw = one.ask(battle, "Which?")
    assert sorted(texts.values()) == ["I say another.", "I say one thing."]
    assert ends == {"a": "ok", "b": "ok"}
    assert "fake" not in raw
    assert "small" not in raw
    assert "large" not in raw
    told = one.vote(battle, "model_b").json()
    assert {told["model_a"], told["model_b"]} == {"fake:small", "fake:large"}
    assert (told["counts"], told["excluded"]) == (True, None)
    with one.door.database() as db:
        (pair,) = count_pairs(db)
        assert pair.wins_a + pair.wins_b == 1
        kept = find_battle(db, battle)
    assert kept.category == "coding"
    assert kept.propensity == 1.0
    assert kept.turns[0].question == "Which?"
    # Both answers are ordinary calls of the voter's key: recorded and paid for.
    spans = one.door.spans(team="voters")
    assert {span.trace_id for span in spans} == {kept.turns[0].trace_a, kept.turns[0].trace_b}
    assert all(span.cost_nano > 0 for span in spans)


def test_each_side_goes_on_with_its_own_conversation(arena: Callable[..., Arena]) -> None:
    one = arena()
    one.say(small="small's words", large="large's words")
    battle = one.begin()
    one.ask(battle, "first")
    one.fake.forget()
    one.ask(battle, "second")
    for received in one.fake.wait_for_requests(2):
        said = [message["content"] for message in received.body["messages"]]
        assert said == ["first", f"{received.body['model']}'s words", "second"]


def test_a_second_vote_changes_nothing(arena: Callable[..., Arena]) -> None:
    one = arena()
    battle = one.begin()
    one.ask(battle)
    assert one.vote(battle).status_code == 200
    again = one.vote(battle, "model_b")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_voted")
    with one.door.database() as db:
        assert find_battle(db, battle).winner == "model_a"
    more = one.client.post(f"/v1/arena/battles/{battle}/turns", json={"question": "more"})
    assert (more.status_code, more.json()["error"]["code"]) == (409, "battle_over")


def test_nobody_votes_on_or_asks_in_the_battle_of_another(arena: Callable[..., Arena]) -> None:
    one, other = arena(), arena()
    battle = one.begin()
    one.ask(battle)
    assert other.vote(battle).status_code == 404
    turns = other.client.post(f"/v1/arena/battles/{battle}/turns", json={"question": "Hi"})
    assert turns.status_code == 404
    assert httpx2.post(f"{one.door.url}/v1/arena/battles/{battle}/vote").status_code == 401


def test_bad_votes_and_questions_are_refused_by_name(arena: Callable[..., Arena]) -> None:
    one = arena()
    battle = one.begin()
    early = one.vote(battle)
    assert (early.status_code, early.json()["error"]["code"]) == (409, "nothing_answered")
    assert one.vote(battle, "fake:small").json()["error"]["param"] == "winner"
    for question in ("", "   ", "x" * 20_001):
        answer = one.client.post(f"/v1/arena/battles/{battle}/turns", json={"question": question})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "question")
    assert one.client.post("/v1/arena/battles", content=b"{").status_code == 400


@pytest.mark.parametrize(
    ("small", "large", "question", "reason"),
    [
        (Reply(fault=Fault.SERVER_ERROR), "fine", "Hi", "contestant failed"),
        (Reply(text="It breaks off.", fault=Fault.RESET_MID_STREAM), "fine", "Hi",
         "contestant failed"),
        ("I'm sorry, but I can't help with that.", "fine", "Hi", "refusal"),
        ("Here is the forbidden fruit.", "fine", "Hi", "moderated"),
        ("fine", "Here is the forbidden fruit.", "Hi", "moderated"),
        ("fine", "good", "Tell me of the FORBIDDEN fruit", "moderated"),
    ],
)  # fmt: skip
def test_a_vote_that_cannot_count_is_kept_with_its_reason(
    arena: Callable[..., Arena],
    small: str | Reply,
    large: str | Reply,
    question: str,
    reason: str,
) -> None:
    one = arena()
    one.say(small=small, large=large)
    told = one.fight(question)
    assert (told["counts"], told["excluded"]) == (False, reason)
    with one.door.database() as db:
        assert count_pairs(db) == []
        assert excluded_by_reason(db) == {reason: 1}


def test_the_same_question_to_the_same_two_counts_once(arena: Callable[..., Arena]) -> None:
    one = arena()
    assert one.fight("What is new?")["counts"]
    assert one.fight("what is  NEW?")["excluded"] == "duplicate"
    assert arena().fight("What is new?")["counts"]


def test_an_automatic_voter_is_found_and_all_its_votes_are_taken_out(
    arena: Callable[..., Arena],
) -> None:
    person, robot = arena(), arena()
    person.fight("Who?")
    for number in range(40):
        robot.fight(f"Question {number}", "model_a")
        with robot.door.database() as db:
            if (out := excluded_by_reason(db)) and len(list_battles(db, excluded="-")) == 1:
                break
    assert out == {"automatic voter": number + 1}
    told = robot.fight("One more", "model_a")
    with robot.door.database() as db:
        (pair,) = count_pairs(db)
        assert pair.wins_a + pair.wins_b == 1  # the person's
    assert told["winner"] == "model_a"
