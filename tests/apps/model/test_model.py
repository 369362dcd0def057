"""Asking models: what is sent, typed answers and their repair, tools, streams, vectors."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from noria import Document, Label, Model, step
from noria.apps import start
from noria.apps.model.messages import make_messages, shown
from noria.apps.model.structured import OutputSchema, Unreadable
from noria.apps.run import standalone as plain
from noria.errors import AnswerError, ApiError, NoriaError
from noria.models.host import EngineHost
from noria.testing import Fault, Reply, ToolCall
from noria.types import SpanKind, Status
from tests.support.plain import MODEL, Home

PNG = b"\x89PNG\r\n\x1a\n"


def ask(*args: Any, **keywords: Any) -> Any:
    return asyncio.run(Model(MODEL).ask(*args, **keywords))


# Messages


def note(title: str, text: str) -> Document:
    return Document(title.lower(), text, title, f"handbook/{title.lower()}.md", 1.0, Label.PUBLIC)


def test_a_lone_question_stands_as_it_is() -> None:
    assert make_messages("Be brief.", {"question": " Why? "}) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": " Why? "},
    ]


def test_inputs_stand_under_their_names_and_documents_are_numbered() -> None:
    notes = [note("Refunds", "Within 14 days."), note("Shipping", "3 days.")]
    (message,) = make_messages("", {"notes": notes, "limit": 3, "question": "When?"})
    assert message["content"] == (
        "notes:\n[1] Refunds (handbook/refunds.md)\nWithin 14 days.\n\n"
        "[2] Shipping (handbook/shipping.md)\n3 days.\n\nlimit:\n3\n\nquestion:\nWhen?"
    )


def test_history_stands_between() -> None:
    history = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    roles = [one["role"] for one in make_messages("x", {"question": "c"}, history)]
    assert roles == ["system", "user", "assistant", "user"]


def test_other_values_are_json() -> None:
    assert shown({"b": [1, None]}) == '{\n  "b": [\n    1,\n    null\n  ]\n}'
    assert shown(enum.Enum("Color", "RED").RED) == "1"  # type: ignore[attr-defined]
    assert shown([]) == "[]"


def test_images(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(PNG)
    (message,) = make_messages("", {"question": "?"}, (), ["https://x/y.png", file, PNG])
    addresses = [part["image_url"]["url"] for part in message["content"][1:]]
    assert addresses[0] == "https://x/y.png"
    assert addresses[1] == addresses[2] == "data:image/png;base64,iVBORw0KGgo="
    for wrong in (tmp_path / "no.png", b"no image"):
        with pytest.raises(NoriaError, match="images:"):
            make_messages("", {}, (), [wrong])


def test_nothing_to_ask() -> None:
    with pytest.raises(NoriaError, match="nothing to ask"):
        make_messages("", {})


def test_what_is_sent_is_what_the_trace_shows(home: Home) -> None:
    home.fake.reply = Reply(text="Paris")
    model = Model(MODEL, temperature=0.5, max_tokens=9, seed=1)
    assert model.ask_sync("Answer.", question="Capital?") == "Paris"
    sent = home.fake.requests[0].body
    messages = make_messages("Answer.", {"question": "Capital?"})
    settings = {"temperature": 0.5, "max_tokens": 9, "seed": 1}
    assert sent == {"model": "small", "messages": messages, **settings}
    assert home.content(home.one(SpanKind.CHAT))[0] == sent | {"model": MODEL}


# Typed answers


class Kind(enum.StrEnum):
    BUG = "bug"
    WISH = "wish"


class Ticket(BaseModel):
    title: str = Field(max_length=20)
    kind: Kind
    tags: list[str] = []


@pytest.mark.parametrize(
    ("returns", "reply", "value"),
    [
        (bool, '{"value": true}', True),
        (bool, "false", False),
        (int, '{"value": 7}', 7),
        (list[str], '{"value": ["a"]}', ["a"]),
        (Literal["yes", "no"], '{"value": "no"}', "no"),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Kind, '{"value": "bug"}', Kind.BUG),
        (Ticket, '```json\n{"title": "x", "kind": "wish"}\n```', Ticket(title="x", kind=Kind.WISH)),
        (list[Ticket], '{"value": []}', []),
        (float | None, '{"value": null}', None),
    ],
)
def test_any_type_that_pydantic_knows(home: Home, returns: Any, reply: str, value: Any) -> None:
    home.fake.reply = Reply(text=reply)
    assert ask("x", question="?", returns=returns) == value
    (request,) = home.fake.requests
    form = request.body["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["schema"]["type"] == "object"


def test_strict_only_where_the_strict_mode_takes_it() -> None:
    class Closed(BaseModel, extra="forbid"):
        a: int

    assert OutputSchema(Closed).response_format()["json_schema"]["strict"] is True
    assert "strict" not in OutputSchema(Ticket).response_format()["json_schema"]
    assert "strict" not in OutputSchema(dict[str, int]).response_format()["json_schema"]


def test_a_wrong_reply_is_shown_to_the_model_once(home: Home) -> None:
    home.fake.queue(
        Reply(text='{"title": "t", "kind": "joke"}'), Reply(text='{"title": "t", "kind": "bug"}')
    )
    assert ask("Read.", mail="Broken!", returns=Ticket).kind is Kind.BUG
    repair = home.fake.requests[1].body["messages"][-2:]
    assert repair[0] == {"role": "assistant", "content": '{"title": "t", "kind": "joke"}'}
    assert "kind: Input should be 'bug' or 'wish'" in repair[1]["content"]
    assert len({span.trace_id for span in home.spans()}) == 1


def test_a_reply_that_stays_wrong_is_a_typed_failure(home: Home) -> None:
    home.fake.reply = Reply(text="I would rather talk.")
    with pytest.raises(AnswerError, match="not valid JSON") as failed:
        ask("Read.", mail="Broken!", returns=Ticket)
    assert failed.value.reply == "I would rather talk."
    assert len(home.fake.requests) == 2


def test_a_type_without_a_form(home: Home) -> None:
    with pytest.raises(NoriaError, match="has no form in JSON"):
        ask("x", question="?", returns=Home)


def test_reading_says_what_is_wrong() -> None:
    with pytest.raises(Unreadable, match="title: String should have at most 20"):
        OutputSchema(Ticket).read('{"title": "' + "x" * 30 + '", "kind": "bug"}')


# Tools


def weather(city: str, days: int = 1) -> dict[str, Any]:
    """The weather of a city."""
    return {"city": city, "days": days, "sky": "clear"}


async def remember(text: str) -> None:
    """Keep a text."""


def test_the_loop_of_tools(home: Home) -> None:
    home.fake.queue(
        Reply(
            tool_calls=[
                ToolCall("weather", {"city": "Oslo"}, "a"),
                ToolCall("remember", {"text": "x"}, "b"),
            ]
        ),
        Reply(text="Clear."),
    )
    assert ask("Help.", question="Weather?", tools=[weather, remember]) == "Clear."
    described = home.fake.requests[0].body["tools"]
    assert described[0]["function"] == {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 1}},
            "required": ["city"],
            "additionalProperties": False,
        },
    }
    said = home.fake.requests[1].body["messages"]
    assert [one["role"] for one in said] == ["system", "user", "assistant", "tool", "tool"]
    assert said[3]["tool_call_id"] == "a"
    assert said[3]["content"] == '{"city":"Oslo","days":1,"sky":"clear"}'
    spans = home.spans(SpanKind.TOOL)
    assert {span.name for span in spans} == {"weather", "remember"}
    assert len({span.trace_id for span in home.spans()}) == 1
    assert home.content(next(one for one in spans if one.name == "weather")) == (
        {"city": "Oslo"},
        {"city": "Oslo", "days": 1, "sky": "clear"},
    )


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (ToolCall("weather", {"town": "Oslo"}, "a"), "city"),
        (ToolCall("weather", '{"city": ', "a"), "The arguments cannot be used"),
        (ToolCall("climate", {}, "a"), "There is no tool 'climate'. There is: weather."),
    ],
)
def test_a_wrong_call_is_told_to_the_model(home: Home, call: ToolCall, told: str) -> None:
    home.fake.queue(Reply(tool_calls=[call]), Reply(text="Sorry."))
    assert ask("Help.", question="?", tools=[weather]) == "Sorry."
    assert told in home.fake.requests[1].body["messages"][-1]["content"]


def test_a_tool_that_raises_raises(home: Home) -> None:
    def broken(city: str) -> None:
        """Breaks."""
        raise OSError("down")

    home.fake.queue(Reply(tool_calls=[ToolCall("broken", {"city": "Oslo"}, "a")]))
    with pytest.raises(OSError, match="down"):
        ask("Help.", question="?", tools=[broken])
    assert home.one(SpanKind.TOOL).status is Status.ERROR


def test_tools_for_ever(home: Home) -> None:
    home.fake.reply = Reply(tool_calls=[ToolCall("weather", {"city": "Oslo"}, "a")])
    with pytest.raises(AnswerError, match="called tools 8 times"):
        ask("Help.", question="?", tools=[weather])
    assert len(home.fake.requests) == 8


@pytest.mark.parametrize("tools", [[lambda x: x], [weather, weather], [3]])
def test_what_is_no_tool(home: Home, tools: Any) -> None:
    with pytest.raises(NoriaError, match="tools:"):
        ask("Help.", question="?", tools=tools)


def test_a_stream_is_text() -> None:
    for wrong in ({"tools": [weather]}, {"returns": bool}):
        with pytest.raises(NoriaError, match="a stream gives text"):
            Model(MODEL).stream("x", question="?", **wrong)


# Time, failures, other loops


def test_a_model_that_hangs(home: Home) -> None:
    home.fake.reply = Reply(fault=Fault.STALL)
    model = Model(MODEL, timeout=0.1)
    with pytest.raises(ApiError) as late:
        model.ask_sync("x", question="?")
    assert (late.value.status, late.value.code) == (504, "upstream_timeout")
    with pytest.raises(ApiError) as late:
        list(model.stream_sync("x", question="?"))
    assert late.value.code == "upstream_timeout"


def test_retries(home: Home) -> None:
    home.fake.queue(Reply(fault=Fault.SERVER_ERROR), Reply(text="there"))
    assert Model(MODEL, retries=1).ask_sync("x", question="?") == "there"
    home.fake.queue(Reply(status=400, text="no"))
    with pytest.raises(ApiError):
        Model(MODEL, retries=5).ask_sync("x", question="?")
    assert len(home.fake.requests) == 3


def test_asking_from_an_event_loop_without_awaiting(home: Home) -> None:
    home.fake.reply = Reply(text="hi")

    async def notebook() -> Any:
        return Model(MODEL).ask_sync("x", question="?")

    assert asyncio.run(notebook()) == "hi"


@step(timeout=20)
def asks_in_time(question: str) -> str:
    return str(Model(MODEL).ask_sync("x", question=question))


@step
def asks(question: str) -> str:
    return str(Model(MODEL).ask_sync("x", question=question))


@pytest.mark.parametrize("how", ["ask", "stream", "step", "timed step", "task", "search"])
def test_waiting_for_oneself_is_refused(home: Home, how: str) -> None:
    """An application is served on the loop of its gateway, which must not be stopped."""
    app = home.app()
    docs = app.index("notes", source=lambda: [{"id": "a", "text": "b"}], embed="fake:embed")

    @app.task
    def task(question: str) -> str:
        return asks(question)

    calls: dict[str, Any] = {
        "ask": lambda: Model(MODEL).ask_sync("x", question="?"),
        "stream": lambda: list(Model(MODEL).stream_sync("x", question="?")),
        "step": lambda: asks("?"),
        "timed step": lambda: asks_in_time("?"),
        "task": lambda: task("?"),
        "search": lambda: docs.search_sync("b"),
    }

    @app.task
    async def work() -> Any:
        return calls[how]()

    gateway = plain.open_plainly().gateway

    async def served() -> Any:
        return await start(app, "work", {}, plain.open_plainly().context()).result()

    with pytest.raises(ApiError) as failed:
        asyncio.run_coroutine_threadsafe(served(), gateway.loop).result(30)
    assert failed.value.code == "app_failed"
    error = home.spans(SpanKind.APP)[0].error
    assert error is not None
    assert "await" in error
    home.fake.reply = Reply(text="hi")
    if how == "task":  # in plain Python the gateway has a loop of its own
        assert asyncio.run(work()) == "hi"


def test_vectors(home: Home) -> None:
    async def work() -> Any:
        model = Model("fake:embed")
        return await model.embed("one"), await model.embed(["one", "two"])

    one, both = asyncio.run(work())
    assert both[0] == one
    assert len(both) == 2


# The real model


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The embedded model, started once, and the home it says its address in."""
    from noria.config import Config

    folder = tmp_path_factory.mktemp("engines") / ".noria"
    host = EngineHost(Config(home=folder))
    host.start(pull=("smollm2",))
    yield folder
    host.stop()


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_the_real_model_answers_in_types(
    home: Home, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("noria.models.host.EngineHost", lambda config: _Beside(engines))
    model = Model("local:smollm2", temperature=0, max_tokens=40)
    said = model.ask_sync("Answer in one sentence.", question="What is the capital of France?")
    assert "Paris" in said
    kind = model.ask_sync("Read the mail.", mail="The export is broken!", returns=Kind)
    assert isinstance(kind, Kind)
    assert isinstance(model.ask_sync("Is this true?", claim="Rome is a city.", returns=bool), bool)
    text = "".join(model.stream_sync("Count.", question="Count from one to five."))
    assert text
    used = model.ask_sync("Use the tools.", question="Weather in Oslo?", tools=[weather])
    assert isinstance(used, str)
    assert all(span.status is Status.OK for span in home.spans())


class _Beside:
    """The engines of another home."""

    def __init__(self, folder: Path) -> None:
        from noria.models.state import EngineAddresses

        self._addresses = EngineAddresses(folder)

    def upstream(self, model: str) -> Any:
        return self._addresses.upstream(model)

    def start(self, pull: Any) -> None: ...

    def stop(self) -> None: ...
