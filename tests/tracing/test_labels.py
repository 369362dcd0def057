"""Whose a trace is, what was read in it, and which models may therefore be called."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import create_engine, make_url, text

from noria.config import Config, load
from noria.errors import ApiError
from noria.gateway.local_client import complete
from noria.ids import new_span_id, new_trace_id
from noria.models import assemble
from noria.models.endpoint import Endpoint
from noria.server import open_gateway
from noria.store import (
    Database,
    create_key,
    find_trace,
    mark_of,
    open_database,
    raise_mark,
    sync_budgets,
    take_in,
)
from noria.testing import FakeProvider, Reply
from noria.tracing import CallContext, Trace, current, span
from noria.types import Label, SpanKind, Status
from tests.support.door import PRICES, Door, bearer, chat, wait_until

CANARY = "canary-5511-of-the-merger"
SETTINGS = """
[providers.vault]
base_url = "{url}"
prompt_allowance = 0
clearance = "confidential"
[prices."vault:big"]
input = 1.0
output = 1.0
[models.mixed]
targets = ["fake:small", "vault:big"]
[models.hedged]
targets = ["fake:small", "vault:big", "fake:other"]
hedge_seconds = 0.05
[routing]
retries = 0
[budgets.apps]
frugal = "0.0001 USD"
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as provider:
        yield provider


@pytest.fixture(autouse=True)
def forgetful(provider: FakeProvider) -> None:
    provider.forget()
    provider.by_model.clear()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, provider: FakeProvider) -> Iterator[Door]:
    """A door of two workers."""
    settings = PRICES + SETTINGS.format(url=provider.url)
    door = Door(tmp_path_factory.mktemp("two"), provider, settings, workers=2).start()
    yield door
    door.stop()


@pytest.fixture(scope="module")
def secret(two: Door) -> str:
    return two.key(user="ada", clearance=Label.RESTRICTED)


def call(
    door: Door, secret: str, model: str = "fake:small", trace: str | None = None, **headers: str
) -> httpx2.Response:
    """One call over a connection of its own, so that either worker may get it."""
    given = bearer(secret) | headers | ({"x-noria-trace": trace} if trace else {})
    return httpx2.post(
        f"{door.url}/v1/chat/completions", json=chat(CANARY, model), headers=given, timeout=30
    )


def begun(door: Door, secret: str, label: Label = Label.PUBLIC) -> str:
    """A trace in which something with this label was read: in this process, which is no worker."""
    trace = str(call(door, secret).headers["x-noria-trace"])
    if label:
        with door.database() as db:
            raise_mark(db, trace, label)
    return trace


def reached(provider: FakeProvider) -> list[str]:
    return [seen.body["model"] for seen in provider.requests]


def test_a_caller_goes_on_with_a_trace_of_its_own(two: Door, secret: str) -> None:
    first = begun(two, secret)
    (root,) = (one for one in two.spans() if one.trace_id == first)
    for _ in range(6):  # whichever worker answers
        second = call(two, secret, trace=first, **{"x-noria-parent": root.id})
        assert second.headers["x-noria-trace"] == first
    spans = [one for one in two.spans() if one.trace_id == first]
    assert len(spans) == 7
    assert {one.parent_id for one in spans if one.id != root.id} == {root.id}


def test_a_trace_of_another_key_is_none_at_all(two: Door, secret: str) -> None:
    theirs = begun(two, secret, Label.CONFIDENTIAL)
    other = two.key(user="ada", clearance=Label.RESTRICTED)  # the same person's other key, too
    answer = call(two, other, trace=theirs)
    assert answer.status_code == 200
    assert answer.headers["x-noria-trace"] != theirs
    assert len([one for one in two.spans() if one.trace_id == theirs]) == 1


@pytest.mark.parametrize(
    "trace",
    ["0" * 32, "F" * 32, "x", "' OR 1=1 --", "a" * 5000, "é" * 32, f"{'0' * 31}\t1"],
    ids=["unknown", "capitals", "short", "sql", "long", "latin", "blank"],
)
def test_a_made_up_trace_begins_a_new_one(two: Door, secret: str, trace: str) -> None:
    headers = [("authorization", f"Bearer {secret}"), ("x-noria-trace", trace.encode("latin-1"))]
    answer = httpx2.post(f"{two.url}/v1/chat/completions", json=chat(), headers=headers)
    assert answer.status_code == 200
    assert answer.headers["x-noria-trace"] != trace


@pytest.mark.parametrize("parent", ["", "x" * 60_000, "G" * 16, "0" * 15, "' OR 1=1 --"])
def test_a_made_up_parent_is_left_out(two: Door, secret: str, parent: str) -> None:
    trace = begun(two, secret)
    answer = call(two, secret, trace=trace, **{"x-noria-parent": parent})
    assert answer.headers["x-noria-trace"] == trace
    assert [one.parent_id for one in two.spans() if one.trace_id == trace] == [None, None]


@pytest.mark.parametrize("header", ["x-noria-mark", "x-noria-label", "x-noria-clearance"])
def test_no_header_lowers_a_mark(
    two: Door, secret: str, provider: FakeProvider, header: str
) -> None:
    trace = begun(two, secret, Label.CONFIDENTIAL)
    provider.forget()
    for value in ("public", "0", "-1"):
        assert call(two, secret, trace=trace, **{header: value}).status_code == 403
    assert not provider.requests


@pytest.mark.parametrize("label", list(Label))
@pytest.mark.parametrize(
    ("model", "clearance"),
    [("fake:small", Label.PUBLIC), ("vault:big", Label.CONFIDENTIAL)],
)
def test_a_marked_trace_reaches_cleared_models_only(
    two: Door, secret: str, provider: FakeProvider, label: Label, model: str, clearance: Label
) -> None:
    trace = begun(two, secret, label)
    provider.forget()
    for _ in range(4):
        answer = call(two, secret, model, trace)
        if label <= clearance:
            assert answer.status_code == 200
            continue
        assert answer.status_code == 403
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == ("label_exceeds_clearance", "model")
        assert str(label) in error["message"]
        assert model in error["message"]
        assert CANARY not in answer.text
    assert len(provider.requests) == (4 if label <= clearance else 0)


def test_a_refusal_is_recorded_in_the_trace(two: Door, secret: str) -> None:
    trace = begun(two, secret, Label.INTERNAL)
    call(two, secret, trace=trace)
    (refused,) = (
        one for one in two.spans() if one.trace_id == trace and one.status is Status.REFUSED
    )
    assert refused.error_code == "label_exceeds_clearance"
    assert CANARY not in (refused.error or "")
    assert refused.cost_nano == 0


def test_a_mark_that_rises_in_another_process_binds_the_next_call(
    two: Door, secret: str, provider: FakeProvider
) -> None:
    trace = begun(two, secret)
    for _ in range(4):  # both workers have seen it public
        assert call(two, secret, trace=trace).status_code == 200
    with two.database() as db:
        raise_mark(db, trace, Label.CONFIDENTIAL)
        raise_mark(db, trace, Label.INTERNAL)  # which lowers nothing
        assert mark_of(db, trace) is Label.CONFIDENTIAL
    provider.forget()
    for _ in range(8):
        assert call(two, secret, trace=trace).status_code == 403
    assert not provider.requests
    assert call(two, secret).status_code == 200, "another trace is not bound"


@pytest.mark.parametrize("model", ["mixed", "hedged"])
def test_fallbacks_go_to_cleared_targets_only(
    two: Door, secret: str, provider: FakeProvider, model: str
) -> None:
    trace = begun(two, secret, Label.CONFIDENTIAL)
    provider.forget()
    answer = call(two, secret, model, trace)
    assert answer.headers["x-noria-model"] == "vault:big"
    provider.by_model["big"] = Reply(status=400, text="not today", first_delay=0.2)
    assert call(two, secret, model, trace).status_code == 400
    assert set(reached(provider)) == {"big"}


def test_streams_and_embeddings_are_bound_too(
    two: Door, secret: str, provider: FakeProvider
) -> None:
    trace = begun(two, secret, Label.INTERNAL)
    provider.forget()
    headers = bearer(secret) | {"x-noria-trace": trace}
    for path, body in (
        ("chat/completions", chat(CANARY, stream=True)),
        ("embeddings", {"model": "fake:embed", "input": CANARY}),
    ):
        answer = httpx2.post(f"{two.url}/v1/{path}", json=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (
            403, "label_exceeds_clearance",
        )  # fmt: skip
    assert not provider.requests


# In one process, as applications call.


@asynccontextmanager
async def opened(config: Config, db: Database) -> Any:
    db.migrate()
    sync_budgets(db, config)
    async with open_gateway(config, db) as gateway:
        yield gateway


@pytest.fixture
def config(tmp_path: Path, provider: FakeProvider) -> Config:
    (tmp_path / "noria.toml").write_text(
        f'[providers.fake]\nbase_url = "{provider.url}"\nprompt_allowance = 0\n{PRICES}'
        + SETTINGS.format(url=provider.url)
    )
    return load(tmp_path / "noria.toml", environ={})


def inside(config: Config, work: Callable[[CallContext], Any], **call_context: Any) -> Any:
    """Do something in a run of a key's, in a process with a gateway of its own."""

    async def run() -> Any:
        db = open_database(config)
        key, _ = create_key(db, clearance=Label.RESTRICTED)
        async with opened(config, db) as gateway:
            at = CallContext(gateway, Trace(key), **call_context)
            current.set(at)
            try:
                return await work(at)
            finally:
                take_in_quietly(db)
                db.close()

    return asyncio.run(run())


def take_in_quietly(db: Database) -> None:
    if db.dialect == "sqlite":
        take_in(db, assemble)


def test_a_run_may_not_tell_what_it_read(config: Config, provider: FakeProvider) -> None:
    async def work(call_context: CallContext) -> None:
        fields = chat(CANARY)
        await complete(call_context, Endpoint.CHAT, fields)
        await call_context.runtime.labels.raise_to(call_context.trace, Label.CONFIDENTIAL)
        with pytest.raises(ApiError) as refusal:
            await complete(call_context, Endpoint.CHAT, fields)
        assert refusal.value.code == "label_exceeds_clearance"
        # Another thread with another loop is the same run.
        with pytest.raises(ApiError):
            await asyncio.to_thread(asyncio.run, complete(call_context, Endpoint.CHAT, fields))
        await complete(call_context, Endpoint.CHAT, chat(CANARY, "vault:big"))

    inside(config, work)
    assert reached(provider) == ["small", "big"]


def test_a_caller_whose_loop_has_closed_is_not_told(config: Config, provider: FakeProvider) -> None:
    provider.reply = Reply(text="late", first_delay=30)
    leave, unhandled = threading.Event(), []

    async def ask_and_leave(call_context: CallContext) -> None:
        asking = asyncio.create_task(complete(call_context, Endpoint.CHAT, chat("anybody?")))
        await asyncio.to_thread(leave.wait)
        asking.cancel()
        await asyncio.wait([asking])

    async def work(call_context: CallContext) -> None:
        loop = call_context.runtime.loop
        loop.set_exception_handler(lambda _, context: unhandled.append(context["message"]))
        thread = threading.Thread(target=asyncio.run, args=(ask_and_leave(call_context),))
        thread.start()
        await asyncio.to_thread(wait_until, lambda: provider.requests, 10)
        leave.set()
        thread.join()  # this loop stands still until that one is closed
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait([one for one in others if "carry" in repr(one.get_coro())])
        gc.collect()

    inside(config, work)
    assert unhandled == []


def test_parallel_calls_see_a_mark_as_soon_as_a_text_is_out(
    config: Config, provider: FakeProvider
) -> None:
    async def work(call_context: CallContext) -> None:
        async def read_then_tell() -> None:
            await call_context.runtime.labels.raise_to(call_context.trace, Label.RESTRICTED)
            with pytest.raises(ApiError, match="restricted"):
                await complete(call_context, Endpoint.CHAT, chat(CANARY))

        await asyncio.gather(*(read_then_tell() for _ in range(20)))

    inside(config, work)
    assert not provider.requests


def test_the_budget_of_an_application_binds_its_calls(
    config: Config, provider: FakeProvider
) -> None:
    async def work(call_context: CallContext) -> str:
        try:
            await complete(call_context, Endpoint.CHAT, chat("word " * 200))
        except ApiError as refusal:
            return refusal.code
        return "answered"

    assert inside(config, work, app="frugal") == "budget_exhausted"
    assert inside(config, work, app="other") == "answered"
    assert inside(config, work) == "answered"
    assert len(provider.requests) == 2


def test_with_the_store_away_nothing_is_told_and_nothing_read(
    tmp_path: Path, config: Config, provider: FakeProvider, postgres_url: str
) -> None:
    async def work(call_context: CallContext) -> None:
        await complete(call_context, Endpoint.CHAT, chat("while it is there"))
        drop(postgres_url)
        for doing in (
            complete(call_context, Endpoint.CHAT, chat(CANARY)),
            call_context.runtime.labels.raise_to(call_context.trace, Label.INTERNAL),
            call_context.runtime.labels.join(call_context.trace.key, new_trace_id()),
        ):
            with pytest.raises(ApiError) as refusal:
                await doing
            assert (refusal.value.status, refusal.value.code) == (503, "store_unavailable")
        assert call_context.trace.mark is Label.PUBLIC

    away = config.model_copy(
        update={"store": config.store.model_copy(update={"url": postgres_url})}
    )
    inside(away, work)
    assert len(provider.requests) == 1


def drop(url: str) -> None:
    """Take a database away from under whoever uses it."""
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    admin = create_engine(parsed.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {parsed.database} WITH (FORCE)"))
    admin.dispose()


def nowhere() -> tuple[int, bool]:
    return os.getpid(), current.get() is None


def test_a_forked_process_is_in_no_run(config: Config) -> None:
    """It outlives the run that forked it, and must not read in the name of its caller."""

    async def work(call_context: CallContext) -> None:
        assert (await asyncio.to_thread(nowhere))[1] is False
        # Not an executor: where applications have been loaded, a run follows its work into those.
        with multiprocessing.get_context("fork").Pool(1) as pool:
            pid, lost = pool.apply(nowhere)
        assert pid != os.getpid()
        assert lost
        assert current.get() is call_context

    inside(config, work)


@pytest.mark.parametrize("content", [True, False])
def test_what_an_error_quotes_is_recorded_only_where_content_is(
    config: Config, content: bool
) -> None:
    async def work(call_context: CallContext) -> None:
        with (
            pytest.raises(ValueError, match="cannot"),
            span(SpanKind.STEP, "clean", request=b'"in"'),
        ):
            raise ValueError(f"cannot clean {CANARY}")

    inside(config, work, content=content)
    db = open_database(config)
    with db.read() as connection:
        trace = connection.execute(text("SELECT trace_id FROM spans WHERE kind = 'step'")).scalar()
    (found,) = find_trace(db, str(trace))
    assert found.span.error_code == "ValueError"
    assert (CANARY in (found.span.error or "")) is content
    assert (found.request is not None) is content
    db.close()


def test_ids_have_the_form_that_the_door_admits() -> None:
    assert len(new_trace_id()) == 32
    assert len(new_span_id()) == 16
