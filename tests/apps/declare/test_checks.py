"""Checks: what they look at, how they come out, what they hold back, whom they tell."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from noria import App, Document, Label, Verdict, check, step
from noria.apps import Evidence, function_of, judge
from noria.apps.host.loader import verify
from noria.apps.run import standalone as plain
from noria.apps.run.checking import settle
from noria.apps.serve.alerts import PassRateMonitor, has_fallen
from noria.errors import ApiError, AppError
from noria.store.evals.check_results import (
    CheckRate,
    check_history,
    check_rates,
    list_alerts,
)
from noria.testing import Reply
from noria.types import SpanKind, Status
from tests.support.door import Door, wait_until
from tests.support.plain import MODEL, Home
from tests.support.webhook import Hook


@step
def clean(question: str) -> str:
    return " ".join(question.split())


@step
def number(given: int) -> int:
    return given


@step
def numbers(given: int) -> list[int]:
    return [given, given]


def outcome(home: Home) -> dict[str, Any]:
    """The attributes of the only check, when it is through."""
    home.ended()
    return home.one(SpanKind.CHECK).attributes


def test_names_are_bound(home: Home) -> None:
    app = home.app()
    seen: dict[str, Any] = {}

    @app.chat
    async def answer(question: str, history: list[Any] = [], style: str = "plain") -> str:  # noqa: B006
        clean(question)
        clean(question + "  again")
        number(1)
        number(2)
        numbers(3)
        return "the reply"

    @check(answer)
    def look(
        question: str,
        style: str,
        history: list[Any],
        clean: str,
        number: list[int],
        numbers: list[int],
        notes: list[Document],
        messages: list[dict[str, str]],
        reply: str,
    ) -> bool:
        seen.update(locals())
        return True

    verify(app)
    before = [{"role": "user", "content": "hello"}]
    asyncio.run(answer("a   b", before))
    assert outcome(home)["outcome"] == "pass"
    seen.pop("seen")
    assert seen == {
        "question": "a   b",
        "style": "plain",
        "history": before,
        "clean": "a b again",
        "number": [1, 2],
        "numbers": [3, 3],
        "notes": [],
        "messages": [*before, {"role": "user", "content": "a   b"}],
        "reply": "the reply",
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (True, ("pass", None, None)),
        (False, ("fail", None, None)),
        (0.5, ("pass", 0.5, None)),
        (0.49, ("fail", 0.49, None)),
        (1, ("pass", 1.0, None)),
        (Verdict(False, 0.2, "too long"), ("fail", 0.2, "too long")),
        (2, ("error", None, "TypeError")),
        ("yes", ("error", None, "TypeError")),
        (None, ("error", None, "TypeError")),
    ],
)
def test_what_a_check_may_give(home: Home, given: Any, expected: Any) -> None:
    @home.app().task
    def work() -> int:
        return 1

    @check(work)
    async def look(reply: int) -> Any:
        return given

    assert work() == 1
    attributes = outcome(home)
    assert (attributes["outcome"], attributes.get("score")) == expected[:2]
    assert (expected[2] or "") in attributes.get("reason", "")
    assert attributes["severity"] == "warn"
    assert attributes["check"] == "look"


def test_a_check_that_throws_breaks_nothing(home: Home) -> None:
    @home.app().task
    def work() -> int:
        return 1

    @check(work)
    def look(reply: int) -> bool:
        raise ValueError("odd")

    assert work() == 1
    assert outcome(home)["reason"] == "ValueError: odd"
    span = home.one(SpanKind.CHECK)
    assert (span.status, span.error_code) == (Status.ERROR, "ValueError")
    assert span.parent_id == home.one(SpanKind.APP).id
    assert home.one(SpanKind.APP).status is Status.OK


def test_a_check_that_hangs_is_an_error(home: Home) -> None:
    @home.app().task
    def work() -> int:
        return 1

    @check(work, timeout=0.05)
    async def look(reply: int) -> bool:
        await asyncio.Event().wait()
        return True

    work()
    assert outcome(home)["reason"] == "it did not end within 0.05 s"


def test_the_answer_does_not_wait(home: Home) -> None:
    let_go = threading.Event()

    @home.app().task
    def work() -> int:
        return 1

    @check(work)
    def look(reply: int) -> bool:
        return let_go.wait(30)

    assert work() == 1  # while the check waits
    let_go.set()
    assert outcome(home)["outcome"] == "pass"
    check_span, root = home.one(SpanKind.CHECK), home.one(SpanKind.APP)
    assert root.duration_ms is not None
    assert check_span.started_ns >= root.started_ns + int(root.duration_ms * 1e6) - 1_000_000


def test_a_judge_that_is_not_cleared_is_skipped_and_counted(home: Home) -> None:
    app = home.app()

    @app.task
    async def work() -> int:
        from noria.tracing import current

        context = current.get()
        assert context is not None
        await context.runtime.labels.raise_to(context.trace, Label.CONFIDENTIAL)
        return 1

    @check(work)
    async def look(reply: int) -> bool:
        return await app.model.ask("Is it good?", reply=reply, returns=bool)

    asyncio.run(work())
    assert outcome(home)["outcome"] == "skip"
    assert home.fake.requests == []
    (rate,) = check_rates(plain.open_plainly().db, app="support")
    assert (rate.total, rate.skipped) == (0, 1)


def test_a_step_that_did_not_run_leaves_nothing_to_look_at(home: Home) -> None:
    @home.app().task
    def work() -> int:
        return 1

    @check(work)
    def look(clean: str) -> bool:
        return True

    work()
    attributes = outcome(home)
    assert (attributes["outcome"], attributes["reason"]) == ("skip", "the step clean did not run")


def test_a_model_judges(home: Home) -> None:
    app = home.app()

    @app.chat
    async def answer(question: str) -> str:
        return await app.model.ask("Answer.", question=question)

    @check(answer)
    async def good(question: str, reply: str) -> bool:
        return await app.model.ask("Is it good?", question=question, reply=reply, returns=bool)

    home.fake.queue(Reply(text="42"), Reply(text='{"value": false}'))
    assert asyncio.run(answer("?")) == "42"
    assert outcome(home)["outcome"] == "fail"
    judge_call = next(s for s in home.spans(SpanKind.CHAT) if s.parent_id != home.spans()[0].id)
    assert judge_call.parent_id == home.one(SpanKind.CHECK).id


@pytest.mark.parametrize("way", ["fails", "throws", "skips", "passes"])
def test_a_check_that_blocks(home: Home, way: str) -> None:
    @home.app().task
    def work() -> str:
        return "the answer"

    @check(work, severity="block")
    def look(reply: str) -> bool:
        if way == "throws":
            raise ValueError("odd")
        return way == "passes"

    @check(work, severity="block", name="second")
    def other(clean: str | None = None) -> bool:
        return True

    if way != "skips":
        function = function_of(work)
        assert function is not None
        function.checks.pop()
    if way == "passes":
        assert work() == "the answer"
    else:
        with pytest.raises(ApiError) as refused:
            work()
        assert (refused.value.status, refused.value.code) == (422, "check_failed")
        said = "did not pass" if way in ("fails", "skips") else "could not be made"
        assert said in refused.value.message
        assert "the answer" not in refused.value.message
    spans = home.spans(SpanKind.CHECK)
    assert {span.attributes["severity"] for span in spans} == {"block"}
    assert home.one(SpanKind.APP).status is (Status.OK if way == "passes" else Status.ERROR)


def test_a_sample_is_looked_at(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter([0.05, 0.2, 0.099, 0.1])
    monkeypatch.setattr("noria.apps.run.checking._random.random", lambda: next(draws))

    @home.app().task
    def work() -> int:
        return 1

    @check(work, sample=0.1)
    def look(reply: int) -> bool:
        return True

    for _ in range(4):
        work()
    home.ended()
    assert len(home.spans(SpanKind.CHECK)) == 2


def test_a_check_is_a_function_and_judges_outside_of_runs(home: Home) -> None:
    @home.app().chat
    def answer(question: str) -> str:
        return question

    @check(answer)
    def short(question: str, clean: list[str], reply: str, messages: list[Any]) -> bool:
        return len(reply) < 5

    assert short("?", [], "abcdef", []) is False
    function = function_of(answer)
    assert function is not None
    (known,) = function.checks
    evidence = Evidence(function, {"question": "?"}, "abc", results={"clean": ["a", "b"]})
    assert asyncio.run(judge(known, evidence)).outcome == "pass"
    assert evidence.messages() == [{"role": "user", "content": "?"}]


def test_settling_waits_for_checks(home: Home) -> None:
    ended = []

    @home.app().task
    def work() -> int:
        return 1

    @check(work)
    async def look(reply: int) -> bool:
        await asyncio.sleep(0.02)
        ended.append(1)
        return True

    work()
    asyncio.run(settle(10))
    assert ended == [1]


# Refused when the file is loaded


def good(app: App) -> Callable[..., Any]:
    @app.task
    def work(a: int) -> int:
        return a

    return work


def test_an_unknown_name_is_refused_with_file_and_line(home: Home) -> None:
    app = home.app()

    @check(good(app))
    def look(a: int, answer: str) -> bool:
        return True

    with pytest.raises(AppError, match=r"test_checks\.py, line \d+: the check look asks for 'ans"):
        verify(app)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"sample": 0}, "sample is 0"),
        ({"sample": 1.5}, "sample is 1.5"),
        ({"at_least": 0}, "at_least is 0"),
        ({"severity": "fatal"}, "severity is 'fatal'"),
        ({"severity": "block", "sample": 0.5}, "looks at every answer"),
    ],
)
def test_keywords_that_cannot_be(home: Home, keywords: Any, message: str) -> None:
    with pytest.raises(AppError, match=message):
        check(good(home.app()), **keywords)(lambda a: True)


def test_targets_and_names_that_cannot_be(home: Home) -> None:
    with pytest.raises(AppError, match="which no application offers"):
        check(clean)(lambda reply: True)
    work = good(home.app())
    check(work, name="look")(lambda a: True)
    with pytest.raises(AppError, match="another check of this name"):
        check(work, name="look")(lambda a: True)


# History and alerts


def test_history_and_rate(home: Home) -> None:
    @home.app().task
    def work(a: int) -> int:
        return a

    @check(work)
    def look(reply: int) -> bool:
        if reply == 9:
            raise ValueError
        return reply < 3

    for a in (0, 1, 2, 3, 9):
        work(a)
    home.ended()
    assert home.spans()
    db = plain.open_plainly().db
    (rate,) = check_rates(db)
    assert (rate.app, rate.check) == ("support", "look")
    assert (rate.passed, rate.failed, rate.errors) == (3, 1, 1)
    assert rate.rate.value == 0.75
    assert 0 < rate.rate.lower < 0.75 < rate.rate.upper < 1
    hours = check_history(db, "support", "look", 0)
    assert sum(hour.passed for hour in hours) == 3
    assert all(hour.start_ns % 3_600_000_000_000 == 0 for hour in hours)
    assert check_rates(db, app="other") == []


@pytest.mark.parametrize(
    ("passed", "failed", "fallen"), [(0, 4, False), (0, 5, True), (8, 2, False), (60, 40, True)]
)
def test_a_fall_must_be_sure(passed: int, failed: int, fallen: bool) -> None:
    assert has_fallen(CheckRate("a", "b", passed, failed, 0, 0), 0.9) is fallen


def test_somebody_is_told_once_for_each_fall(home: Home) -> None:
    hook = Hook(failures=2)
    app = App("support", model=MODEL, alert=hook.url, title="Support desk")
    passes = True

    @app.task
    def work() -> int:
        return 1

    @check(work, at_least=0.9)
    def look(reply: int) -> bool:
        return passes

    def runs(count: int) -> None:
        for _ in range(count):
            work()
        asyncio.run(settle(20))
        assert home.spans()

    async def looked(watch: PassRateMonitor) -> int:
        found = await watch.look()
        await watch.told()
        return len(found)

    db = plain.open_plainly().db
    watch = PassRateMonitor([app], db, pauses=(0, 0))
    passes = False
    runs(6)
    assert asyncio.run(looked(watch)) == 1
    assert asyncio.run(looked(watch)) == 0
    # A process that is started now knows that this fall was told.
    assert asyncio.run(looked(PassRateMonitor([app], db, pauses=()))) == 0
    (told,) = hook.came
    assert (told["app"], told["check"], told["passed"], told["total"]) == ("support", "look", 0, 6)
    assert told["text"] == (
        "Support desk: the check look passes 0% of 6 answers, and should pass 90%."
    )
    passes = True
    runs(60)
    assert asyncio.run(looked(watch)) == 0
    passes = False
    runs(30)
    assert asyncio.run(looked(watch)) == 1
    first, second = reversed(list_alerts(db, app="support"))
    assert first.delivered_ns
    assert second.delivered_ns
    assert len(hook.came) == 2
    hook.server.shutdown()


def test_a_webhook_that_is_away_is_written_down(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "http://127.0.0.1:9/secret-token")
    app = App("support", model=MODEL, alert="HOOK")

    @app.task
    def work() -> int:
        return 1

    @check(work, at_least=0.9)
    def look(reply: int) -> bool:
        return False

    for _ in range(5):
        work()
    home.ended()
    assert home.spans()

    async def looked() -> None:
        watch = PassRateMonitor([app], plain.open_plainly().db, pauses=(0,))
        await watch.look()
        await watch.told()

    asyncio.run(looked())
    (alert,) = list_alerts(plain.open_plainly().db)
    assert alert.delivered_ns is None
    assert alert.error == "the webhook cannot be reached: ConnectError"


SERVED = """
from noria import App, check

app = App("desk", alert="{url}")

@app.task
def work(n: int) -> int:
    return n

@check(work, at_least=0.9)
def even(reply: int) -> bool:
    return reply % 2 == 0

@check(work, severity="block")
def small(reply: int) -> bool:
    return reply < 100
"""


def test_a_served_application_checks_and_tells(new_door: Callable[..., Door]) -> None:
    hook = Hook()
    door = new_door(apps={"app.py": SERVED.format(url=hook.url)})
    with door.client(door.key()) as client:
        for n in range(1, 13, 2):
            answer = client.post("/apps/desk/work", json={"n": n})
            assert (answer.status_code, answer.json()) == (200, n)
        refused = client.post("/apps/desk/work", json={"n": 1000})
    assert refused.status_code == 422
    assert refused.json()["error"]["code"] == "check_failed"
    wait_until(lambda: bool(hook.came), 60, "nobody was told")
    assert (hook.came[0]["check"], hook.came[0]["passed"]) == ("even", 0)
    with door.database() as db:
        rates = {rate.check: (rate.passed, rate.failed) for rate in check_rates(db, app="desk")}
    assert rates == {"even": (0, 6), "small": (6, 1)}
    hook.server.shutdown()
