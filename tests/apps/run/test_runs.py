"""One run behind every door: arguments, results, streams, time, retries, variants, failures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from noria import App, Label, check
from noria.apps import current_context, function_of, start
from noria.apps.run.semaphore import CrossLoopSemaphore
from noria.errors import ApiError, AppError, NoriaError
from noria.testing import Fault, Reply
from noria.types import Budget, SpanKind, Status, Subject
from tests.support.plain import Home


class Address(BaseModel):
    city: str
    zip: int = 0


@dataclass
class Total:
    amount: float
    where: Address


def run(app: Any, name: str, arguments: dict[str, Any], **keywords: Any) -> Any:
    async def work() -> Any:
        return await start(app, name, arguments, await current_context(app), **keywords).result()

    return asyncio.run(work())


def test_arguments_are_read_by_the_signature(home: Home) -> None:
    app = home.app()

    @app.task
    def total(prices: list[float], address: Address, /, *, schema: str = "eur") -> Total:
        assert isinstance(address, Address)
        return Total(sum(prices), address)

    result = run(app, "total", {"prices": [1, "2.5"], "address": {"city": "Bonn"}})
    assert result.value == Total(3.5, Address(city="Bonn"))
    assert result.json == b'{"amount":3.5,"where":{"city":"Bonn","zip":0}}'
    root = home.one(SpanKind.APP)
    assert root.name == "support.total"
    assert root.trace_id == result.trace_id
    request, response = home.content(root)
    assert request["prices"] == [1.0, 2.5]
    assert response == {"amount": 3.5, "where": {"city": "Bonn", "zip": 0}}


def test_every_wrong_argument_is_named(home: Home) -> None:
    app = home.app()

    @app.task
    def total(prices: list[float], address: Address) -> None: ...

    with pytest.raises(ApiError) as refused:
        run(app, "total", {"prices": [1, "x"], "color": 1})
    assert (refused.value.status, refused.value.code) == (422, "invalid_arguments")
    for part in ("prices.1:", "address: is missing", "color: is no argument of total"):
        assert part in refused.value.message
    assert home.spans() == []


def test_unknown_functions_and_variants(home: Home) -> None:
    app = home.app()
    with pytest.raises(ApiError, match="no function 'nothing'"):
        run(app, "nothing", {})

    @app.task
    def work() -> None: ...

    with pytest.raises(ApiError, match="no variant 'cheap'"):
        run(app, "work", {}, variant="cheap")


def test_a_variant_changes_model_and_settings(home: Home) -> None:
    app = home.app(settings={"k": 4})
    app.variant("cheap", model="fake:tiny", k=1)

    @app.chat
    async def answer(question: str) -> str:
        return f"{app.setting('k')} {app.setting('depth', 9)} " + await app.model.ask(
            "", q=question
        )

    home.fake.reply = Reply(text="yes")
    assert asyncio.run(answer("?")) == "4 9 yes"
    assert run(app, "answer", {"question": "?"}, variant="cheap").text == "1 9 yes"
    assert run(app, "answer", {"question": "?"}, model="fake:other").text == "4 9 yes"
    assert [one.body["model"] for one in home.fake.requests] == ["small", "tiny", "other"]
    assert home.spans(SpanKind.APP)[1].attributes["variant"] == "cheap"
    with pytest.raises(AppError, match="no setting 'size'"):
        app.setting("size")


def test_history_goes_to_those_who_name_it(home: Home) -> None:
    app = home.app()

    @app.chat
    def recall(question: str, history: list[dict[str, str]] = []) -> int:  # noqa: B006
        return len(history)

    @app.chat
    def forget(question: str) -> str:
        return question

    before = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert run(app, "recall", {"question": "?"}, history=before).value == 2
    assert run(app, "forget", {"question": "?"}, history=before).value == "?"


# Streams


def kinds(app: Any) -> dict[str, Callable[..., Any]]:
    @app.chat
    async def returned(question: str) -> AsyncIterator[str]:
        return app.model.stream("", question=question)

    @app.chat
    async def awaited(question: str) -> AsyncIterator[str]:
        async for piece in app.model.stream("", question=question):
            yield piece

    @app.chat
    def plain(question: str) -> Iterator[str]:
        yield from app.model.stream_sync("", question=question)

    @app.chat
    def whole(question: str) -> str:
        return str(app.model.ask_sync("", question=question))

    return {"returned": returned, "awaited": awaited, "plain": plain, "whole": whole}


@pytest.mark.parametrize("name", ["returned", "awaited", "plain", "whole"])
def test_an_answer_comes_piece_by_piece(home: Home, name: str) -> None:
    app = home.app()
    kinds(app)
    home.fake.reply = Reply(chunks=["one ", "two ", "three"])

    async def work() -> tuple[list[str], Any]:
        running = start(app, name, {"question": "?"}, await current_context())
        pieces = [piece async for piece in running.stream()]
        return pieces, await running.result()

    pieces, result = asyncio.run(work())
    assert pieces == (["one two three"] if name == "whole" else ["one ", "two ", "three"])
    assert result.text == "one two three"
    assert result.json == b'"one two three"'
    root = home.one(SpanKind.APP)
    assert (root.ttft_ms is None) is (name == "whole")
    assert home.content(root)[1] == "one two three"
    assert home.one(SpanKind.CHAT).parent_id == root.id


def test_streams_in_plain_python(home: Home) -> None:
    called = kinds(home.app())
    home.fake.reply = Reply(chunks=["one ", "two"])

    async def work() -> list[list[str]]:
        return [
            [piece async for piece in await called["returned"]("?")],
            [piece async for piece in called["awaited"]("?")],
        ]

    assert asyncio.run(work()) == [["one ", "two"]] * 2
    assert list(called["plain"]("?")) == ["one ", "two"]
    assert len(home.spans(SpanKind.APP)) == 3


def test_leaving_a_stream_stops_the_model(home: Home) -> None:
    app = home.app()
    kinds(app)
    home.fake.reply = Reply(chunks=["one "] * 1000, delay=0.01)

    async def work() -> None:
        running = start(app, "returned", {"question": "?"}, await current_context())
        stream = running.stream()
        assert await anext(stream) == "one "
        await stream.aclose()

    asyncio.run(work())
    assert home.one(SpanKind.APP).status is Status.CANCELLED
    assert home.one(SpanKind.CHAT).status is Status.CANCELLED
    (received,) = home.fake.requests
    assert received.done.wait(10)
    assert received.hung_up


def test_a_stream_that_breaks_off_fails_the_run(home: Home) -> None:
    app = home.app()
    kinds(app)
    home.fake.reply = Reply(chunks=["one ", "two ", "three "], fault=Fault.RESET_MID_STREAM)

    async def work() -> list[str]:
        running = start(app, "awaited", {"question": "?"}, await current_context())
        stream = running.stream()
        first = await anext(stream)
        with pytest.raises(ApiError) as failed:
            await _rest(stream)
        assert failed.value.status == 502
        return [first]

    assert asyncio.run(work())
    assert home.one(SpanKind.APP).status is Status.ERROR


async def _rest(stream: AsyncIterator[Any]) -> list[Any]:
    return [piece async for piece in stream]


def test_a_slow_reader_holds_the_model_back(home: Home) -> None:
    app = home.app()
    made: list[int] = []

    @app.task
    async def many() -> AsyncIterator[int]:
        for number in range(2000):
            made.append(number)
            yield number

    async def work() -> int:
        running = start(app, "many", {}, await current_context())
        stream = running.pieces()
        await anext(stream)
        for _ in range(100):
            await asyncio.sleep(0)
        ahead = len(made)
        assert [piece async for piece in stream] == list(range(1, 2000))
        return ahead

    assert asyncio.run(work()) < 400


# Time, retries, concurrency


@pytest.mark.parametrize("awaits", [False, True])
def test_a_run_that_hangs_is_given_up(home: Home, awaits: bool) -> None:
    app = home.app()
    let_go = threading.Event()

    @app.task(timeout=0.05)
    def hang() -> None:
        let_go.wait(60)

    @app.task(timeout=0.05)
    async def hang_awaiting() -> None:
        await asyncio.Event().wait()

    with pytest.raises(ApiError) as late:
        run(app, "hang_awaiting" if awaits else "hang", {})
    let_go.set()
    assert (late.value.status, late.value.code) == (504, "app_timeout")
    assert home.one(SpanKind.APP).error_code == "app_timeout"


def test_retries_are_one_run(home: Home) -> None:
    app = home.app()
    calls = []

    @app.task(retries=2)
    async def flaky() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise OSError("again")
        return 7

    assert asyncio.run(flaky()) == 7
    root = home.one(SpanKind.APP)
    assert (root.status, root.attributes["attempts"]) == (Status.OK, 3)


def test_at_most_so_many_at_the_same_time(home: Home) -> None:
    app = home.app()
    now, most = 0, 0

    @app.task(concurrency=2)
    async def count() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1

    async def work() -> None:
        await asyncio.gather(*(count() for _ in range(9)))

    asyncio.run(work())
    assert most == 2


def test_a_gate_survives_those_who_leave() -> None:
    async def work() -> None:
        gate = CrossLoopSemaphore(1)
        inside = asyncio.Event()
        leave = asyncio.Event()

        async def stay() -> None:
            async with gate:
                inside.set()
                await leave.wait()

        first = asyncio.create_task(stay())
        await inside.wait()
        waiting = [asyncio.create_task(stay()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # while it waits
        leave.set()
        await first
        waiting[1].cancel()  # just as it is let in
        await asyncio.gather(*waiting, return_exceptions=True)
        async with asyncio.timeout(5), gate:
            pass

    asyncio.run(work())


# Failures


def test_a_caller_is_not_told_what_an_exception_says(home: Home) -> None:
    app = home.app()

    @app.task
    def fail() -> None:
        raise ValueError("the salary is 90000")

    with pytest.raises(ApiError) as failed:
        run(app, "fail", {})
    assert (failed.value.status, failed.value.code) == (500, "app_failed")
    assert "90000" not in failed.value.message
    root = home.one(SpanKind.APP)
    assert root.trace_id in failed.value.message
    assert root.error == "the salary is 90000"


def test_a_result_without_a_form_in_json(home: Home) -> None:
    app = home.app()

    @app.task
    def lock() -> Any:
        return threading.Lock()

    with pytest.raises(ApiError) as failed:
        run(app, "lock", {})
    assert failed.value.code == "result_not_json"
    assert hasattr(lock(), "acquire")
    assert home.spans(SpanKind.APP)[0].status is Status.OK


def test_cancelling_ends_the_run(home: Home) -> None:
    app = home.app()

    @app.task
    async def wait() -> None:
        await asyncio.Event().wait()

    async def work() -> None:
        running = start(app, "wait", {}, await current_context())
        await asyncio.sleep(0.01)
        await running.cancel()

    asyncio.run(work())
    assert home.one(SpanKind.APP).status is Status.CANCELLED


def test_one_function_calls_another(home: Home) -> None:
    inner, outer = home.app("inner"), home.app("outer")

    @inner.task
    async def double(n: int) -> int:
        return 2 * n

    @inner.task
    def double_plain(n: int) -> int:
        return 2 * n

    @outer.task
    async def work(n: int) -> int:
        return await double(n) + double_plain(n)

    assert asyncio.run(work(2)) == 8
    root, *others = home.spans(SpanKind.APP)
    assert root.name == "outer.work"
    assert {span.parent_id for span in others} == {root.id}
    assert {span.trace_id for span in others} == {root.trace_id}
    assert {span.app for span in others} == {"inner"}


# Whose run it is


def test_an_application_keeps_to_its_budget(home: Home) -> None:
    app = home.app(budget="0.000001 USD/day")

    @app.chat
    async def answer(question: str) -> str:
        return await app.model.ask("", question=question)

    with pytest.raises(ApiError) as refused:
        asyncio.run(answer("?"))
    assert refused.value.code == "budget_exhausted"
    assert app.budget == Budget.parse("0.000001 USD/day")
    assert home.fake.requests == []
    assert Subject.APP in {row.subject for row in budgets()}


def budgets() -> Any:
    from noria.apps.run import standalone as plain
    from noria.store import list_budgets

    return list_budgets(plain.open_plainly().db)


def test_nothing_runs_for_nobody_in_a_process_of_an_application(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORIA_APP", "support")
    app = home.app()

    @app.chat
    async def answer(question: str) -> str:
        return question

    for call in (answer("?"), app.model.ask("", question="?"), app.model.embed("?")):
        with pytest.raises(NoriaError, match="not known on whose behalf"):
            asyncio.run(call)
    assert home.fake.requests == []
    monkeypatch.delenv("NORIA_APP")


def test_the_key_in_the_environment_is_the_caller(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    from noria.apps.run import standalone as plain

    secret = home.key(user="ada", team="search")
    plain.close()
    monkeypatch.setenv("NORIA_KEY", secret)
    app = home.app()

    @app.task
    def work() -> None: ...

    work()
    span = home.one(SpanKind.APP)
    assert (span.user, span.team) == ("ada", "search")
    plain.close()
    monkeypatch.setenv("NORIA_KEY", "wrong")
    with pytest.raises(NoriaError, match="NORIA_KEY is not a key"):
        work()
    monkeypatch.delenv("NORIA_KEY")


@pytest.mark.parametrize(
    ("groups", "clearance", "granted"),
    [
        (("sales",), Label.CONFIDENTIAL, True),
        (("sales",), Label.INTERNAL, False),
        (("hr",), Label.RESTRICTED, False),
    ],
)
def test_a_resource_is_for_those_who_may(
    home: Home, monkeypatch: pytest.MonkeyPatch, groups: Any, clearance: Label, granted: bool
) -> None:
    from noria.apps.run import standalone as plain

    secret = home.key(groups=groups, clearance=clearance)
    plain.close()
    monkeypatch.setenv("NORIA_KEY", secret)
    monkeypatch.setenv("CRM_URL", "postgresql://crm")
    app = home.app()
    crm = app.resource("crm", url_env="CRM_URL", grants=["sales"], label="confidential")

    @app.task
    async def read() -> str:
        url = crm.url
        with pytest.raises(ApiError) as refused:
            await app.model.ask("", question=url)
        assert refused.value.code == "label_exceeds_clearance"
        assert "confidential" in refused.value.message
        return url

    if granted:
        assert asyncio.run(read()) == "postgresql://crm"
    else:
        with pytest.raises(ApiError) as refused:
            asyncio.run(read())
        assert (refused.value.status, refused.value.code) == (403, "resource_not_granted")
        assert "postgresql" not in str(refused.value)
    assert home.fake.requests == []
    plain.close()
    monkeypatch.delenv("NORIA_KEY")


def test_a_resource_is_read_in_a_run_only(home: Home) -> None:
    crm = home.app().resource("crm", url_env="CRM_URL")
    with pytest.raises(NoriaError, match="outside of any run"):
        _ = crm.url


# Declaring


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda app: app.chat(lambda text: text), "takes a parameter named question"),
        (lambda app: app.chat(lambda question, style: style), "style needs a default"),
        (lambda app: app.task(lambda *args: args), r"\*args cannot be filled in"),
        (lambda app: app.task(timeout=0)(lambda a: a), "timeout must be seconds above 0"),
        (lambda app: app.task(retries=-1)(lambda a: a), "retries must be"),
        (lambda app: app.task(concurrency=0)(lambda a: a), "concurrency must be"),
        (lambda app: app.task(3), "stands before a function"),
        (lambda app: app.variant("A B"), "'A B' is there already or is no name"),
        (lambda app: app.resource("x", url_env="X", label="secret"), "'secret' is not a label"),
    ],
)
def test_what_cannot_work_is_refused_with_file_and_line(
    home: Home, declare: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(AppError, match=rf"test_runs\.py, line \d+: .*{message}"):
        declare(App("support"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "Bad Name"}, "cannot be the name of an application"),
        ({"name": ""}, "cannot be the name"),
        ({"name": "a", "budget": "much"}, "budget: 'much' is not a budget"),
    ],
)
def test_an_application_that_cannot_be(home: Home, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(AppError, match=message):
        home.app(**arguments)


def test_what_is_known_of_a_function(home: Home) -> None:
    app = home.app()

    @app.task(schedule="0 6 * * *", timeout=5)
    def report(day: str, schema: int = 1) -> list[str]:
        """Makes the report."""
        return [day]

    function = function_of(report)
    assert function is app.functions["report"]
    assert function.doc == "Makes the report."
    assert function.argument_schema() == {
        "type": "object",
        "title": "report",
        "properties": {"day": {"type": "string"}, "schema": {"type": "integer", "default": 1}},
        "required": ["day"],
        "additionalProperties": False,
    }
    assert function.return_schema() == {"type": "array", "items": {"type": "string"}}
    assert app.schedules == {"report": "0 6 * * *"}
    assert not function.streams
    assert app.answers is None
    assert report.__doc__ == "Makes the report."


def test_a_blocking_check_holds_a_stream_back(home: Home) -> None:
    app = home.app()
    called = kinds(app)
    home.fake.reply = Reply(chunks=["one ", "two"])

    @check(called["returned"], severity="block")
    def good(reply: str) -> bool:
        return reply == "one two"

    async def work() -> list[str]:
        running = start(app, "returned", {"question": "?"}, await current_context())
        return [piece async for piece in running.stream()]

    assert asyncio.run(work()) == ["one two"]
    home.fake.reply = Reply(chunks=["one ", "three"])
    with pytest.raises(ApiError, match="held back"):
        asyncio.run(work())


def test_awaitables_of_plain_functions_are_awaited(home: Home) -> None:
    app = home.app()

    async def later() -> int:
        return 5

    @app.task
    def work() -> Awaitable[int]:
        return later()

    assert run(app, "work", {}).value == 5
