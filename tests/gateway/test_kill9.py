"""`kill -9` under load: what a caller saw the end of is recorded once; what nobody saw the end of
is charged and marked."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

import pytest

from noria.testing import FakeProvider
from noria.types import Subject
from tests.support.door import NANO_PER_TOKEN, Door, wait_until
from tests.support.load import Load, varied

KILLS = 20


@pytest.mark.parametrize("database", ["SQLite", "Postgres"])
def test_twenty_kills_lose_no_answer_and_no_money(
    request: pytest.FixtureRequest,
    new_door: Callable[..., Door],
    fake: FakeProvider,
    database: str,
) -> None:
    url = request.getfixturevalue("postgres_url") if database == "Postgres" else None
    kills = KILLS if database == "SQLite" else 4
    fake.reply = varied
    door = new_door(workers=2, store_url=url)
    secret = door.key(team="killed", budget="100000 USD/month")
    chance = random.Random(9)
    with Load(door, secret) as load:
        for number in range(kills):
            seen = len(load.answers)
            wait_until(lambda seen=seen: len(load.answers) >= seen + 5, 30, door.log())
            time.sleep(chance.random() / 5)
            if number % 2 == 0:
                door.kill()
                door.start()
            else:
                victim = chance.choice(door.processes()[1:])
                victim.send_signal(signal.SIGKILL)
                victim.wait(10)
        seen = len(load.answers)
        wait_until(lambda: len(load.answers) >= seen + 10, 30, door.log())
    assert {status for status, _ in load.errors} <= {502, 503}, load.errors

    # The running server repairs by itself: nobody takes anything in here.
    def repaired() -> bool:
        spans = door.spans(pending=False, team="killed")
        found = {span.trace_id for span in spans}
        return all(span.status != "open" for span in spans) and all(
            answer.trace_id in found for answer in load.answers
        )

    wait_until(repaired, 20, door.log())
    spans = door.spans(team="killed")
    by_trace = {span.trace_id: span for span in spans}
    assert len(by_trace) == len(spans), "a call was recorded twice"
    for answer in load.answers:
        span = by_trace[answer.trace_id]
        assert span.status == "ok"
        assert (span.input_tokens, span.output_tokens) == (
            answer.input_tokens,
            answer.output_tokens,
        )
        assert span.cost_nano == (answer.input_tokens + answer.output_tokens) * NANO_PER_TOKEN
    lost = [span for span in spans if span.status == "lost"]
    assert lost, "no call was under way at any kill"
    for span in lost:
        assert (span.input_tokens, span.output_tokens) == (None, None)
        assert span.cost_nano > 40 * NANO_PER_TOKEN
    assert {span.status for span in spans} <= {"ok", "lost", "cancelled", "refused", "error"}
    assert all(span.hold_nano == 0 for span in spans)
    standing = door.budget(Subject.KEY)
    assert standing.held_nano == 0
    assert standing.spent_nano == sum(span.cost_nano for span in spans)
    # The provider is owed no more than the books say.
    owed = fake.owed["small"]
    assert (owed.input_tokens + owed.output_tokens) * NANO_PER_TOKEN <= standing.spent_nano


def test_a_killed_supervisor_takes_its_processes_along(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    door = new_door(workers=2)
    family = door.processes()
    family[0].send_signal(signal.SIGKILL)
    for process in family:
        process.wait(15)
    # Nothing holds the home or the port.
    assert door.start().workers()
