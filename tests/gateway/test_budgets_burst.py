"""No overspend: a burst of calls at a budget that pays for few of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2
import orjson
import pytest

from noria.models import assemble
from noria.store import budget_status, take_in
from noria.testing import FakeProvider, Reply
from noria.types import Subject
from tests.support.door import NANO_PER_TOKEN, PRICES, Door, bearer, chat

CALLS = 500
REPLY_TOKENS = 10
BODY = orjson.dumps(chat("Tell me a short story.", max_tokens=REPLY_TOKENS))
PROMPT_TOKENS = 3 + 4 + 5
PAID_FOR = 50
BUDGET = f"{(PROMPT_TOKENS + REPLY_TOKENS) * PAID_FOR * NANO_PER_TOKEN / 1e9:.3f} USD/month"


class Watcher:
    """Reads a budget's standing again and again, beside the server."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._stop = threading.Event()
        self.readings = 0
        self.highest_held = 0
        self.above: list[tuple[int, int, int]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _watch(self) -> None:
        with self._door.database() as db:
            while not self._stop.is_set():
                take_in(db, assemble)
                for standing in budget_status(db):
                    limit = standing.row.budget.limit
                    spent, held = standing.spent_nano, standing.held_nano
                    promised = spent + standing.leased_nano
                    if max(spent + held, promised) > limit:
                        self.above.append((spent, held, standing.leased_nano))
                    self.highest_held = max(self.highest_held, held)
                    self.readings += 1


async def burst(door: Door, secret: str, stream: bool) -> list[httpx2.Response]:
    """All calls at once."""
    body = orjson.dumps(orjson.loads(BODY) | {"stream": stream})
    limits = httpx2.Limits(max_connections=CALLS)
    async with httpx2.AsyncClient(
        base_url=door.url, headers=bearer(secret), limits=limits, timeout=60
    ) as client:
        calls = [client.post("/v1/chat/completions", content=body) for _ in range(CALLS)]
        return await asyncio.gather(*calls)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("kind", ["one process", "two on SQLite", "two on Postgres"])
def test_settled_and_held_never_pass_the_limit(
    request: pytest.FixtureRequest,
    new_door: Callable[..., Door],
    fake: FakeProvider,
    kind: str,
    stream: bool,
) -> None:
    if stream and kind != "one process":
        pytest.skip("one process covers it")
    url = request.getfixturevalue("postgres_url") if "Postgres" in kind else None
    workers = 1 if kind == "one process" else 2
    door = new_door(workers=workers, store_url=url)
    assert len(door.workers()) == workers
    secret = door.key(team="burst", budget=BUDGET)
    fake.reply = Reply(text="word " * 50, first_delay=0.02)

    watcher = Watcher(door)
    with watcher.watching():
        answers = asyncio.run(burst(door, secret, stream))
        served = [answer for answer in answers if answer.status_code == 200]
        for refusal in (answer for answer in answers if answer.status_code != 200):
            assert refusal.status_code == 429, refusal.text
            error = refusal.json()["error"]
            assert error["code"] in ("budget_held", "budget_exhausted"), error
            assert error["type"] == "insufficient_quota"
            if error["code"] == "budget_held":
                assert int(refusal.headers["retry-after"]) >= 1
        assert served
        after, refused = serve_until_refused(door, secret)
    assert watcher.above == []
    assert watcher.readings > 5
    assert watcher.highest_held > 0

    standing = door.budget(Subject.KEY)
    owed = fake.owed["small"]
    spent = (owed.input_tokens + owed.output_tokens) * NANO_PER_TOKEN
    assert standing.spent_nano == spent <= standing.row.budget.limit
    assert standing.held_nano == 0
    # Not even the prompt and one token would fit.
    assert standing.row.budget.limit - spent < (len(BODY) + 1) * NANO_PER_TOKEN
    spans = door.spans(team="burst")
    done = [span for span in spans if span.status == "ok"]
    assert len(done) == len(served) + after == owed.calls
    assert sum(span.cost_nano for span in done) == spent
    assert len(spans) == CALLS + after + refused
    assert {span.status for span in spans} == {"ok", "refused"}


def serve_until_refused(door: Door, secret: str) -> tuple[int, int]:
    """Call after call until one is refused for good; how many were served, how many refused.

    What another process has leased and does not use comes back within a moment; until then a
    call may be told to try again, which it does.
    """
    served = again = 0
    with door.client(secret) as client:
        while True:
            answer = client.post("/v1/chat/completions", content=BODY)
            if answer.status_code == 200:
                served += 1
                continue
            assert answer.status_code == 429
            code = answer.json()["error"]["code"]
            if code == "budget_exhausted":
                return served, again + 1
            assert code == "budget_held", answer.text
            again += 1
            assert again <= 5, "idle leases do not come back"
            time.sleep(int(answer.headers["retry-after"]))


def test_every_budget_that_applies_must_fit(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    door = new_door(
        PRICES
        + '[budgets]\ninstallation = "100 USD"\nmodels = { "fake:small" = "0.500 USD/day" }\n'
        + '[teams.narrow]\nbudget = "0.200 USD/week"\n'
    )
    fake.reply = Reply(text="word " * 50)
    narrow, wide = door.key(team="narrow"), door.key(team="wide")
    served_narrow, _ = serve_until_refused(door, narrow)
    served_wide, _ = serve_until_refused(door, wide)
    assert served_narrow > 0
    assert served_wide > 0
    standings = {
        subject: door.budget(subject, name)
        for subject, name in (
            (Subject.TEAM, "narrow"), (Subject.MODEL, "fake:small"), (Subject.INSTALLATION, ""),
        )
    }  # fmt: skip
    for standing in standings.values():
        assert standing.spent_nano <= standing.row.budget.limit
    owed = fake.owed["small"]
    spent = (owed.input_tokens + owed.output_tokens) * NANO_PER_TOKEN
    assert (
        standings[Subject.MODEL].spent_nano == standings[Subject.INSTALLATION].spent_nano == spent
    )


def test_a_reply_is_shortened_to_what_is_left(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    door = new_door()
    body = orjson.dumps(chat("Hi", max_tokens=500))
    secret = door.key(budget=f"{(len(body) + 40) * NANO_PER_TOKEN / 1e9:.3f} USD")
    fake.reply = Reply(text="word " * 1000)
    with door.client(secret) as client:
        answer = client.post("/v1/chat/completions", content=body)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["finish_reason"] == "length"
    (request,) = fake.requests
    assert request.body["max_tokens"] == 40
    assert answer.json()["usage"]["completion_tokens"] == 40
