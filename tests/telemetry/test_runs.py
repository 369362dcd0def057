"""What instrumented libraries do inside a run is seen inside that run."""

from __future__ import annotations

import pytest

from noria.testing import FakeProvider, Reply
from noria.types import SpanKind, Status
from tests.support.door import Door

APP = """
import asyncio

from langchain_core.runnables import RunnableLambda
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from noria import App, step
from noria.telemetry import run_spans

provider = TracerProvider()
provider.add_span_processor(run_spans())
LangChainInstrumentor().instrument(tracer_provider=provider)
tracer = provider.get_tracer("a library")
app = App("chain", model="fake:small")


@step
async def think(question: str) -> str:
    chain = RunnableLambda(str.strip) | RunnableLambda(str.upper)
    return await chain.ainvoke(question)


@app.task
async def answer(question: str) -> str:
    return await think(question)


@app.task
def stumble() -> None:
    with tracer.start_as_current_span("a call of a library"):
        raise KeyError("lost")
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    with FakeProvider(Reply("Yes.")) as fake:
        apps = {"chain.py": APP}
        door = Door(tmp_path_factory.mktemp("runs"), fake, apps=apps).start()
        yield door
        door.stop()


def run_of(door, answer):
    return {
        one.name: one for one in door.spans() if one.trace_id == answer.headers["x-noria-trace"]
    }


def test_a_chain_stands_below_the_step_that_runs_it(door):
    with door.client(door.key(user="ada")) as client:
        answers = [
            client.post("/apps/chain/answer", json={"question": f" {name} "}) for name in "ab"
        ]
    assert [answer.json() for answer in answers] == ["A", "B"]
    for answer in answers:
        run = run_of(door, answer)
        chain, step = run["RunnableSequence"], run["think"]
        assert (step.kind, chain.kind) == (SpanKind.STEP, SpanKind.STEP)
        assert chain.parent_id == step.id
        assert run["strip"].parent_id == run["upper"].parent_id == chain.id
        assert (chain.app, chain.user, chain.attributes["source"]) == ("chain", "ada", "otlp")


def test_a_failure_is_one_of_the_run(door):
    with door.client(door.key()) as client:
        answer = client.post("/apps/chain/stumble", json={})
    assert answer.status_code == 500
    span = run_of(door, answer)["a call of a library"]
    assert (span.status, span.error_code) == (Status.ERROR, "KeyError")


def test_outside_of_any_run_nothing_is_written(door):
    from opentelemetry.sdk.trace import TracerProvider

    from noria.telemetry import run_spans

    provider = TracerProvider()
    provider.add_span_processor(run_spans())
    with provider.get_tracer("alone").start_as_current_span("nobody's"):
        pass
    provider.shutdown()
    assert not [one for one in door.spans() if one.name == "nobody's"]
