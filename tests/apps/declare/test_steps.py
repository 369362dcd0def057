"""Steps: plain functions, exact records, a tree that holds under any kind of parallelism."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from noria import step
from noria.apps.declare.placement import InProcess, Placement, use_executor
from noria.apps.run.serialise import MOST_BYTES
from noria.errors import ApiError, AppError
from noria.types import SpanKind, Status
from tests.support.plain import Home


@step
def clean(question: str, /, limit: int = 20) -> str:
    return " ".join(question.split())[:limit]


@step
async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def test_a_step_is_the_function() -> None:
    assert clean("a   b") == "a b"
    assert asyncio.run(double(4)) == 8
    assert clean.__name__ == "clean"
    with pytest.raises(TypeError, match="missing"):
        clean()


def test_a_step_needs_no_noria_running() -> None:
    code = (
        "import sys\nfrom noria import step\n@step\ndef f(a): return a + 1\nassert f(1) == 2\n"
        "assert not {'sqlalchemy', 'httptools', 'xllamacpp'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_goes_in_and_out_is_recorded_exactly(home: Home) -> None:
    @home.app().task
    def work() -> str:
        return clean("a    b", limit=2)

    assert work() == "a "
    span = home.one(SpanKind.STEP)
    assert span.name == "clean"
    assert span.app == "support"
    assert span.parent_id == home.one(SpanKind.APP).id
    assert home.content(span) == ({"question": "a    b", "limit": 2}, "a ")


def test_inputs_are_those_of_before_the_call(home: Home) -> None:
    @step
    def empty(items: list[int]) -> None:
        items.clear()

    @home.app().task
    def work() -> None:
        empty([1, 2])

    work()
    assert home.content(home.one(SpanKind.STEP)) == ({"items": [1, 2]}, None)


class Odd:
    def __repr__(self) -> str:
        raise ValueError("no repr either")


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        (threading.Lock, None),
        (Odd(), {"repr": "<its repr failed with ValueError>", "type": f"{__name__}.Odd"}),
        ({"odd": 2**70}, {"odd": 2**70}),
        ({1, 2}, [1, 2]),
        (b"\xff", {"repr": "b'\\xff'", "type": "builtins.bytes"}),
        (LOOP, {"repr": "[[...]]", "type": "builtins.list"}),
        ("\ud800", {"repr": "'\\ud800'", "type": "builtins.str"}),
        ({"a": object}, None),
    ],
)
def test_what_cannot_be_recorded_says_what_it_is(home: Home, value: Any, recorded: Any) -> None:
    @step
    def give() -> Any:
        return value

    @home.app().task
    def work() -> bool:
        return give() is value

    assert work() is True
    span = home.one(SpanKind.STEP)
    assert span.status is Status.OK
    response = home.content(span)[1]
    assert response
    if recorded is not None:
        assert response == recorded


def test_a_large_value_is_cut_and_says_so(home: Home) -> None:
    @step
    def give() -> str:
        return "é" * MOST_BYTES

    @home.app().task
    def work() -> int:
        return len(give())

    assert work() == MOST_BYTES
    response = home.content(home.one(SpanKind.STEP))[1]
    assert response["cut"] is True
    assert response["bytes"] == 2 * MOST_BYTES + 2
    assert response["beginning"].startswith('"éé')


def test_a_step_that_raises_is_seen_and_raises(home: Home) -> None:
    @step
    def fail() -> None:
        raise ValueError("no")

    @home.app().task
    def work() -> None:
        fail()

    with pytest.raises(ValueError, match="no"):
        work()
    span = home.one(SpanKind.STEP)
    assert (span.status, span.error_code, span.error) == (Status.ERROR, "ValueError", "no")
    assert home.one(SpanKind.APP).status is Status.ERROR


@pytest.mark.parametrize("awaits", [False, True])
def test_a_step_that_hangs_is_given_up(home: Home, awaits: bool) -> None:
    let_go = threading.Event()

    @step(timeout=0.05)
    def hang() -> None:
        let_go.wait(60)

    @step(timeout=0.05)
    async def hang_awaiting() -> None:
        await asyncio.Event().wait()

    @home.app().task
    async def work() -> None:
        if awaits:
            await hang_awaiting()
        else:
            await asyncio.to_thread(hang)

    with pytest.raises(TimeoutError):
        asyncio.run(work())
    let_go.set()
    assert home.one(SpanKind.STEP).error_code == "TimeoutError"


def test_retries_are_spans_of_their_own(home: Home) -> None:
    calls = []

    @step(retries=2)
    def flaky() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise OSError("again")
        return len(calls)

    @home.app().task
    def work() -> int:
        return flaky()

    assert work() == 3
    spans = home.spans(SpanKind.STEP)
    assert [span.status for span in spans] == [Status.ERROR, Status.ERROR, Status.OK]
    assert [span.attributes.get("attempt") for span in spans] == [None, 2, 3]


def test_a_refusal_is_not_tried_again(home: Home) -> None:
    @step(retries=5)
    async def refused() -> None:
        raise ApiError(403, "label_exceeds_clearance", "no")

    @home.app().task
    async def work() -> None:
        await refused()

    with pytest.raises(ApiError):
        asyncio.run(work())
    assert home.one(SpanKind.STEP).status is Status.REFUSED


def test_gathered_steps_keep_their_place_in_the_tree(home: Home) -> None:
    @step
    async def outer(number: int) -> int:
        await asyncio.sleep(0.001 * (3 - number))
        return sum(await asyncio.gather(double(number), double(number + 10)))

    @home.app().task
    async def work() -> list[int]:
        return await asyncio.gather(*(outer(number) for number in range(3)))

    assert asyncio.run(work()) == [20, 24, 28]
    root = home.one(SpanKind.APP)
    outers = [span for span in home.spans(SpanKind.STEP) if span.name == "outer"]
    inner = [span for span in home.spans(SpanKind.STEP) if span.name == "double"]
    assert {span.parent_id for span in outers} == {root.id}
    assert len(inner) == 6
    for span in outers:
        number = home.content(span)[0]["number"]
        children = [home.content(one)[0]["number"] for one in inner if one.parent_id == span.id]
        assert sorted(children) == [number, number + 10]
    assert {span.trace_id for span in home.spans()} == {root.trace_id}


def test_a_step_does_not_yield() -> None:
    def pieces() -> Any:
        yield 1

    with pytest.raises(AppError, match=r"test_steps\.py, line \d+: pieces yields"):
        step(pieces)


def test_placement_is_handed_to_the_executor() -> None:
    seen = []

    class Watching(InProcess):
        def call(self, function: Any, args: Any, kwargs: Any, placement: Placement) -> Any:
            seen.append((function.__name__, args, placement))
            return function(*args, **kwargs)

    @step(gpu=0.5, memory="8GB", on="rented")
    def train(n: int) -> int:
        return n + 1

    before = use_executor(Watching())
    try:
        assert train(1) == 2
        assert clean("a") == "a"
    finally:
        use_executor(before)
    assert seen == [("train", (1,), Placement(0.5, "8GB", "rented"))]


def test_content_is_left_out_where_an_application_says_so(home: Home) -> None:
    @home.app(record_content=False).task
    def work() -> str:
        return clean("a secret")

    work()
    for span in home.spans():
        assert home.content(span) == (None, None)
        assert span.duration_ms is not None
        assert span.started_ns <= time.time_ns()
