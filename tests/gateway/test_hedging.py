"""A second target is asked when the first is slow to begin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from noria.testing import FakeProvider, Fault, Reply
from noria.types import Status, Subject
from tests.support.door import NANO_PER_TOKEN, Door, chat, wait_until

pytest_plugins = ["tests.support.door"]

HEDGED = """
[models.fast]
targets = ["fake:first", "fake:second"]
hedge_seconds = 0.2
[prices."fake:first"]
input = 1000.0
output = 1000.0
[prices."fake:second"]
input = 1000.0
output = 1000.0
[routing]
retries = 0
"""


@pytest.fixture
def hedged(new_door: Callable[..., Door]) -> Door:
    return new_door(HEDGED)


def ask(door: Door, stream: bool) -> str:
    with (
        door.client(door.key(budget="10 USD/day")) as client,
        client.stream("POST", "/v1/chat/completions", json=chat(model="fast", stream=stream)) as r,
    ):
        r.read()
        assert r.status_code == 200
        return str(r.headers["x-noria-model"])


def settled(door: Door) -> None:
    """Wait for the attempt that lost: it is settled when the caller has the answer already."""
    wait_until(lambda: door.budget(Subject.KEY).held_nano == 0, 10, door.log())


@pytest.mark.parametrize("stream", [False, True])
def test_the_second_answers_for_a_first_that_does_not_begin(
    hedged: Door, fake: FakeProvider, stream: bool
) -> None:
    fake.by_model["first"] = Reply(fault=Fault.STALL)
    fake.by_model["second"] = Reply(text="Here I am.")
    assert ask(hedged, stream) == "fake:second"
    wait_until(lambda: fake.requests[0].hung_up, 10)
    settled(hedged)
    (span,) = hedged.spans()
    assert (span.status, span.target, span.attempts) == (Status.OK, "fake:second", 2)
    owed = fake.owed["second"]
    answered = (owed.input_tokens + owed.output_tokens) * NANO_PER_TOKEN
    assert span.uncertain_nano > 0  # nobody can say whether the first is billed
    assert span.cost_nano == answered + span.uncertain_nano
    status = hedged.budget(Subject.KEY)
    assert (status.spent_nano, status.held_nano) == (span.cost_nano, 0)


@pytest.mark.parametrize("stream", [False, True])
def test_a_first_that_is_slow_but_faster_than_the_second_answers(
    hedged: Door, fake: FakeProvider, stream: bool
) -> None:
    fake.by_model["first"] = Reply(text="Slow but first.", first_delay=0.6)
    fake.by_model["second"] = Reply(fault=Fault.STALL)
    assert ask(hedged, stream) == "fake:first"
    settled(hedged)
    (span,) = hedged.spans()
    assert (span.status, span.target, span.attempts) == (Status.OK, "fake:first", 2)


def test_a_quick_first_is_not_hedged(hedged: Door, fake: FakeProvider) -> None:
    assert ask(hedged, False) == "fake:first"
    assert len(fake.requests) == 1


def test_a_caller_who_leaves_stops_both(hedged: Door, fake: FakeProvider) -> None:
    fake.reply = Reply(fault=Fault.STALL)
    with hedged.connect() as connection:
        secret = hedged.key(budget="10 USD/day")
        import json

        body = json.dumps(chat(model="fast")).encode()
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer "
            + secret.encode()
            + b"\r\ncontent-length: %d\r\n\r\n" % len(body)
            + body
        )
        fake.wait_for_requests(2)
    wait_until(lambda: all(request.hung_up for request in fake.requests), 10)
    wait_until(lambda: hedged.spans()[0].status is Status.CANCELLED, 10)
    (span,) = hedged.spans()
    status = hedged.budget(Subject.KEY)
    assert (status.spent_nano, status.held_nano) == (span.cost_nano, 0)
    assert span.uncertain_nano == span.cost_nano > 0  # of both
