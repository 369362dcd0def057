"""Shadow battles: beside the traffic, within their budget, under the label of what was read."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from noria.config import Config
from noria.evals.shadow import Shadows
from noria.models import assemble
from noria.server import open_gateway
from noria.store import Database, raise_mark, take_in
from noria.store.evals.battles import list_battles, next_waiting, vote
from noria.store.evals.pair_counts import count_pairs, excluded_by_reason
from noria.testing import FakeProvider, Reply
from noria.testing.fake import Received
from noria.types import Label, Subject
from tests.support.door import PRICES, Door, chat, wait_until

SETTINGS = PRICES + "".join(
    f'[prices."fake:{name}"]\ninput = 1000.0\noutput = 1000.0\n' for name in ("new", "judge")
)


def shadow(judge: str | None = "fake:judge", budget: str = "100 USD", share: float = 1.0) -> str:
    judged = f'judge = "{judge}"\n' if judge else ""
    return (
        f'{SETTINGS}[shadow."fake:small"]\nchallenger = "fake:new"\nshare = {share}\n'
        f'budget = "{budget}"\n{judged}'
    )


def quiet_door(new_door: Callable[..., Door], settings: str) -> Door:
    """A server that runs no challenges: they run in the test, when it wants them to."""
    door = new_door(SETTINGS)
    with (door.folder / "noria.toml").open("a") as file:
        file.write(settings.removeprefix(SETTINGS))
    return door


def says(received: Received) -> Reply:
    """The new one is better, and the judge knows it in whatever order."""
    if received.body["model"] != "judge":
        return Reply(text=f"the {received.body['model']} answer")
    prompt = received.body["messages"][-1]["content"]
    return Reply(text="[[A]]" if prompt.index("the new") < prompt.index("the small") else "[[B]]")


def challenge(config: Config, work: Callable[[Shadows], Any]) -> Any:
    """Run shadow battles on a home, in this process."""

    async def run() -> Any:
        db = Database(config.store_url, config.home)
        try:
            async with open_gateway(config, db, row=301, rows=302) as gateway:
                shadows = Shadows(db, gateway, config.shadow, lambda: take_in(db, assemble))
                shadows._random = random.Random(1)
                await asyncio.to_thread(shadows._fund, "fake:small", config.shadow["fake:small"])
                return await work(shadows)
        finally:
            db.close()

    return asyncio.run(run())


def catch_up(door: Door) -> Callable[[Shadows], Any]:
    settings = door.config.shadow["fake:small"]
    return lambda shadows: shadows.catch_up("fake:small", settings)


def ask(door: Door, number: int, **key: Any) -> list[str]:
    with door.client(door.key(**key)) as client:
        return [
            client.post("/v1/chat/completions", json=chat(f"question {n}")).headers["x-noria-trace"]
            for n in range(number)
        ]


def test_a_challenger_answers_the_same_and_is_compared(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    fake.reply = says
    door = quiet_door(new_door, shadow())
    challenge(door.config, catch_up(door))  # from here on
    traces = ask(door, 4, team="people")
    assert challenge(door.config, catch_up(door)) == 4
    assert challenge(door.config, catch_up(door)) == 0  # nothing is challenged twice
    with door.database() as db:
        (pair,) = count_pairs(db, sources=("shadow",), arena="fake:small")
        assert (pair.model_a, pair.wins_a, pair.wins_b) == ("fake:new", 4, 0)
        assert not count_pairs(db)  # the arena of people is another
        battles = list_battles(db, source="shadow")
        assert {one.judge for one in battles} == {"fake:judge"}
    asked = [one.body["messages"] for one in fake.requests if one.body["model"] == "new"]
    assert sorted(message[0]["content"] for message in asked) == [f"question {n}" for n in range(4)]
    # Paid by the challenge and by nobody else.
    spans = door.spans()
    payers = {span.team for span in spans if span.target in ("fake:new", "fake:judge")}
    assert payers == {"shadow of fake:small"}
    assert {span.trace_id for span in spans if span.team == "people"} == set(traces)


def test_an_answer_that_takes_long_is_challenged_when_it_ends(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    def reply(received: Received) -> Reply:
        slow = received.body["model"] == "small" and "slow" in str(received.body)
        return Reply(text="[[C]]", first_delay=2.0 if slow else 0.0)

    fake.reply = reply
    door = quiet_door(new_door, shadow())
    settings = door.config.shadow["fake:small"]

    async def work(shadows: Shadows) -> list[int]:
        async def look() -> int:
            return await shadows.catch_up("fake:small", settings)

        found = [await look()]
        with door.client(door.key()) as client:
            path = "/v1/chat/completions"
            slow = asyncio.create_task(asyncio.to_thread(client.post, path, json=chat("slow")))
            await asyncio.to_thread(fake.wait_for_requests, 1)
            await asyncio.to_thread(client.post, path, json=chat("quick"))
            found.append(await look())
            assert (await slow).status_code == 200
            found += [await look(), await look()]
        return found

    assert challenge(door.config, work) == [0, 1, 1, 0]


def test_the_budget_of_a_challenge_is_not_passed(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    fake.reply = says
    door = quiet_door(new_door, shadow(judge=None, budget="0.05 USD"))
    challenge(door.config, catch_up(door))
    ask(door, 6)
    challenge(door.config, catch_up(door))
    status = door.budget(Subject.TEAM, "shadow of fake:small")
    assert status.spent_nano + status.held_nano <= 50_000_000


def test_what_was_read_binds_challenger_and_judge(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    fake.reply = says
    door = quiet_door(new_door, shadow())
    challenge(door.config, catch_up(door))
    secret, plain = ask(door, 2)
    with door.database() as db:
        raise_mark(db, secret, Label.CONFIDENTIAL)
    fake.forget()
    challenge(door.config, catch_up(door))
    said = [message["content"] for one in fake.requests for message in one.body["messages"]]
    assert not any("question 0" in text for text in said)
    assert any("question 1" in text for text in said)
    with door.database() as db:
        assert len(list_battles(db, source="shadow")) == 1
    assert plain


@pytest.mark.parametrize(
    ("verdict", "reason"), [("[[A]]", "judge: inconsistent"), ("who knows", "judge: invalid")]
)
def test_a_judge_without_a_verdict_makes_no_vote(
    new_door: Callable[..., Door], fake: FakeProvider, verdict: str, reason: str
) -> None:
    fake.reply = lambda received: Reply(text=verdict)
    door = quiet_door(new_door, shadow())
    challenge(door.config, catch_up(door))
    ask(door, 1)
    challenge(door.config, catch_up(door))
    with door.database() as db:
        assert not count_pairs(db, sources=("shadow",), arena="fake:small")
        assert excluded_by_reason(db, sources=("shadow",), arena="fake:small") == {reason: 1}


def test_without_a_judge_a_battle_waits_for_a_person(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    fake.reply = says
    door = quiet_door(new_door, shadow(judge=None))
    challenge(door.config, catch_up(door))
    ask(door, 1)
    challenge(door.config, catch_up(door))
    with door.database() as db:
        battle = next_waiting(db)
        assert battle is not None
        assert {battle.turns[0].answer_a, battle.turns[0].answer_b} == {
            "the small answer", "the new answer",
        }  # fmt: skip
        assert vote(db, battle.id, "somebody", "model_a", None)
        assert not vote(db, battle.id, "somebody", "model_b", None)
        assert next_waiting(db) is None


def test_a_server_runs_its_challenges(new_door: Callable[..., Door], fake: FakeProvider) -> None:
    fake.reply = says
    door = new_door(shadow())
    with door.database() as db:
        began = "SELECT count(*) FROM settings WHERE name = 'shadow:fake:small'"

        def watches() -> bool:
            with db.read() as connection:
                return bool(connection.exec_driver_sql(began).scalar())

        wait_until(watches, 30, "no challenge began")
        ask(door, 2)
        wait_until(lambda: len(list_battles(db, source="shadow")) == 2, 30, door.log())


def test_a_share_is_a_share() -> None:
    from noria.evals.shadow import _drawn
    from noria.ids import new_trace_id

    drawn = sum(_drawn(new_trace_id(), 0.1) for _ in range(10_000))
    assert 850 < drawn < 1150
