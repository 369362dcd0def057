"""A disk that takes no more: nothing is called that could not be recorded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from noria.testing import FakeProvider, Reply
from noria.types import Status, Subject
from tests.support.door import Door, chat, wait_until

pytestmark = pytest.mark.skipif(not hasattr(psutil, "RLIMIT_FSIZE"), reason="needs Linux's prlimit")


def full(door: Door, yes: bool) -> None:
    """Let the workers' files grow no further, as on a full disk, or again."""
    for worker in door.workers():
        worker.rlimit(psutil.RLIMIT_FSIZE, (0 if yes else psutil.RLIM_INFINITY, -1))


def test_a_call_that_cannot_be_recorded_is_not_made(door: Door, fake: FakeProvider) -> None:
    with door.client(door.key()) as client:
        assert client.post("/v1/chat/completions", json=chat()).status_code == 200
        full(door, True)
        refused = client.post("/v1/chat/completions", json=chat())
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "journal_unavailable"
        assert refused.headers["retry-after"]
        assert len(fake.requests) == 1
        assert client.get("/health").status_code == 200
        full(door, False)
        assert client.post("/v1/chat/completions", json=chat()).status_code == 200
    assert [span.status for span in door.spans()] == [Status.OK, Status.OK]


def test_an_answer_whose_end_cannot_be_recorded_is_not_ended(
    door: Door, fake: FakeProvider
) -> None:
    fake.queue(Reply(text="word " * 10, chunks=10, delay=0.1))
    with (
        door.client(door.key(budget="10 USD/day")) as client,
        client.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as reply,
    ):
        lines = reply.iter_lines()
        next(lines)
        full(door, True)
        rest = [line for line in lines if line]
    assert rest[-1] != "data: [DONE]"
    assert "journal_unavailable" in rest[-1]
    full(door, False)
    door.kill()
    door.start()  # the next start finds the open hold, charges it and says so
    wait_until(lambda: door.spans()[0].status is Status.LOST, 10)
    (span,) = door.spans()
    assert span.input_tokens is None
    assert span.cost_nano > 0


def test_what_could_not_be_recorded_is_spent_all_the_same(door: Door, fake: FakeProvider) -> None:
    """Its hold is charged in the end, so the rest of it must not be given to another call."""
    secret = door.key(budget="1 USD")
    fake.queue(Reply(text="one", first_delay=0.5))
    with door.client(secret) as client, ThreadPoolExecutor(1) as pool:
        asked = chat(max_tokens=500)
        lost = pool.submit(client.post, "/v1/chat/completions", json=asked)
        fake.wait_for_requests(1)
        full(door, True)
        assert lost.result().json()["error"]["code"] == "journal_unavailable"
        full(door, False)
        fake.reply = Reply(text="one two three")
        served = 0
        while client.post("/v1/chat/completions", json=chat(max_tokens=20)).is_success:
            served += 1
    assert served
    door.kill()
    door.start()
    wait_until(lambda: door.budget(Subject.KEY).held_nano == 0, 10)
    status = door.budget(Subject.KEY)
    assert status.spent_nano <= status.row.budget.limit
    assert status.spent_nano == sum(span.cost_nano for span in door.spans())
