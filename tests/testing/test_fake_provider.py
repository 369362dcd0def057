"""The fake provider, asked by the official client and by a bare socket."""

from __future__ import annotations

import base64
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx2
import openai
import pytest

from noria.testing import (
    FORBID_REAL_REQUESTS,
    FakeProvider,
    Fault,
    Owed,
    Reply,
    ToolCall,
    forbid_real_requests,
)
from noria.testing.answers import count_tokens
from noria.types import Usage

pytest_plugins = ["noria.testing.plugin"]

ASK = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


def client(provider: FakeProvider, **settings: object) -> openai.OpenAI:
    given = {"max_retries": 0, "timeout": 5.0, **settings}
    return openai.OpenAI(base_url=provider.url, api_key="sk-fake", **given)  # type: ignore[arg-type]


def test_a_plain_answer_is_remembered_and_owed(provider: FakeProvider) -> None:
    provider.reply = Reply(text="It is Paris.", usage=Usage(12, 3, cached_tokens=4))
    answer = client(provider).chat.completions.create(model="big", messages=ASK)
    assert answer.choices[0].message.content == "It is Paris."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert (answer.usage.total_tokens, answer.usage.prompt_tokens_details.cached_tokens) == (15, 4)
    assert provider.owed == {"big": Owed(1, 12, 3)}
    (request,) = provider.requests
    assert request.headers["authorization"] == "Bearer sk-fake"
    assert request.body == {"model": "big", "messages": ASK}
    assert request.done.wait(1)
    assert not request.hung_up


def test_a_stream_has_a_role_pieces_an_end_and_usage_only_when_asked(
    provider: FakeProvider,
) -> None:
    provider.reply = Reply(chunks=["It is", " Paris", "."])
    ask = client(provider).chat.completions.create
    chunks = list(ask(model="big", messages=ASK, stream=True))
    assert [c.choices[0].delta.content for c in chunks] == ["", "It is", " Paris", ".", None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks] == [None] * 4 + ["stop"]
    with_usage = list(
        ask(model="big", messages=ASK, stream=True, stream_options={"include_usage": True})
    )
    assert [c.usage for c in with_usage[:-1]] == [None] * 5
    assert "usage" in with_usage[0].model_fields_set
    assert "usage" not in chunks[0].model_fields_set
    assert with_usage[-1].choices == []
    assert with_usage[-1].usage is not None
    assert with_usage[-1].usage.completion_tokens == 4
    assert provider.owed["big"].output_tokens == 8


def test_limits_choices_and_logprobs_are_honoured(provider: FakeProvider) -> None:
    ask = client(provider).chat.completions.create
    provider.reply = Reply(text="one two three four five")
    answer = ask(model="m", messages=ASK, max_tokens=2, n=3, logprobs=True)
    assert [c.message.content for c in answer.choices] == ["one two"] * 3
    assert {c.finish_reason for c in answer.choices} == {"length"}
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6
    assert answer.choices[0].logprobs is not None
    assert len(answer.choices[0].logprobs.content or []) == 2
    stream = ask(model="m", messages=ASK, max_completion_tokens=3, n=2, stream=True)
    texts = {0: "", 1: ""}
    for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == {0: "one two three", 1: "one two three"}


def test_schema_and_tools_get_something_that_fits(provider: FakeProvider) -> None:
    ask = client(provider).chat.completions.create
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "kind": {"enum": ["a", "b"]}},
        "required": ["city", "kind"],
    }
    shape = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    text = ask(model="m", messages=ASK, response_format=shape).choices[0].message.content  # type: ignore[call-overload]
    assert text == '{"city":"text","kind":"a"}'
    tool = {"type": "function", "function": {"name": "look", "parameters": schema}}
    answer = ask(model="m", messages=ASK, tools=[tool], tool_choice="required")  # type: ignore[list-item]
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("look", text)
    assert answer.choices[0].finish_reason == "tool_calls"


def test_tool_calls_stream_in_pieces(provider: FakeProvider) -> None:
    provider.queue(Reply(tool_calls=[ToolCall("look", '{"city": "Paris"}'), ToolCall("stop")]))
    stream = client(provider).chat.completions.create(model="m", messages=ASK, stream=True)
    calls: dict[int, str] = {}
    for chunk in stream:
        for part in chunk.choices[0].delta.tool_calls or []:
            assert part.function is not None
            calls[part.index] = calls.get(part.index, "") + (part.function.name or "")
            calls[part.index] += part.function.arguments or ""
    assert calls == {0: 'look{"city": "Paris"}', 1: "stop{}"}


def test_embeddings_as_floats_and_base64(provider: FakeProvider) -> None:
    asked = {"model": "e", "input": ["one two", "three"], "dimensions": 4}
    floats = httpx2.post(f"{provider.url}/embeddings", json=asked).json()
    packed = httpx2.post(
        f"{provider.url}/embeddings", json={**asked, "encoding_format": "base64"}
    ).json()
    assert floats["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    first = floats["data"][0]["embedding"]
    unpacked = struct.unpack("<4f", base64.b64decode(packed["data"][0]["embedding"]))
    assert first == pytest.approx(unpacked)
    assert sum(x * x for x in first) == pytest.approx(1.0)


def test_replies_by_queue_by_model_and_by_function(provider: FakeProvider) -> None:
    provider.reply = lambda request: Reply(text=request.body["messages"][0]["content"][:4])
    provider.by_model["big"] = Reply(text="by model")
    provider.queue(Reply(text="queued"))
    ask = client(provider).chat.completions.create
    said = [
        ask(model=model, messages=ASK).choices[0].message.content
        for model in ("big", "big", "small")
    ]
    assert said == ["queued", "by model", "What"]


def test_models_unknown_paths_and_keys() -> None:
    with FakeProvider(models=["a", "b"], api_key="right") as provider:
        wrong = client(provider)
        with pytest.raises(openai.AuthenticationError):
            wrong.models.list()
        right = openai.OpenAI(base_url=provider.url, api_key="right")
        assert [model.id for model in right.models.list()] == ["a", "b"]
        with pytest.raises(openai.NotFoundError):
            right.post("/nothing", cast_to=object, body={})
        with pytest.raises(openai.BadRequestError):
            right.post("/chat/completions", cast_to=object, body={"messages": []})


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.REFUSE, openai.APIConnectionError),
        (Fault.RESET, openai.APIConnectionError),
        (Fault.RESET_MID_STREAM, (openai.APIConnectionError, httpx2.HTTPError)),
        (Fault.STALL, openai.APITimeoutError),
        (Fault.STALL_MID_STREAM, openai.APITimeoutError),
        (Fault.RATE_LIMITED, openai.RateLimitError),
        (Fault.SERVER_ERROR, openai.InternalServerError),
        (Fault.UNAUTHORIZED, openai.AuthenticationError),
        (Fault.TRUNCATED, openai.APIConnectionError),
    ],
)
def test_a_plain_answer_fails_as_told(
    provider: FakeProvider, fault: Fault, error: type[Exception]
) -> None:
    provider.reply = Reply(fault=fault)
    with pytest.raises(error):
        client(provider, timeout=0.5).chat.completions.create(model="m", messages=ASK)
    provider.reply = Reply(text="back")
    answer = client(provider).chat.completions.create(model="m", messages=ASK)
    assert answer.choices[0].message.content == "back"


def raw(provider: FakeProvider, stream: bool) -> httpx2.Response:
    body = {"model": "m", "messages": ASK, "stream": stream}
    return httpx2.post(f"{provider.url}/chat/completions", json=body, timeout=5)


def test_faults_inside_a_good_answer(provider: FakeProvider) -> None:
    provider.reply = Reply(fault=Fault.MALFORMED_JSON)
    with pytest.raises(ValueError, match=r"JSON|Expect|Unterminated|delimiter"):
        raw(provider, stream=False).json()
    events = raw(provider, stream=True).text.split("\n\n")
    assert events[-2] == "data: [DONE]"
    assert not events[-3].endswith("}")
    provider.reply = Reply(fault=Fault.MALFORMED_SSE)
    assert "data:" not in raw(provider, stream=True).text
    provider.reply = Reply(fault=Fault.NO_USAGE)
    assert "usage" not in raw(provider, stream=False).json()
    provider.reply = Reply(fault=Fault.HUGE_BODY, huge_bytes=3_000_000)
    assert len(raw(provider, stream=False).content) == 3_000_000
    assert len(raw(provider, stream=True).content) > 3_000_000
    provider.reply = Reply(fault=Fault.RATE_LIMITED, text="Slow down.")
    limited = raw(provider, stream=False)
    assert limited.headers["retry-after"] == "1"
    assert limited.json()["error"]["message"] == "Slow down."
    for fault in (Fault.RESET_MID_STREAM, Fault.TRUNCATED):
        provider.reply = Reply(fault=fault)
        with pytest.raises(httpx2.HTTPError):
            raw(provider, stream=True)


def test_a_cut_stream_is_owed_by_what_was_written(provider: FakeProvider) -> None:
    provider.reply = Reply(text="word " * 1000, delay=0.01)
    stream = client(provider).chat.completions.create(model="m", messages=ASK, stream=True)
    seen = 0
    for chunk in stream:
        seen += count_tokens(chunk.choices[0].delta.content or "")
        if seen == 5:
            break
    stream.close()
    (request,) = provider.requests
    assert request.done.wait(5)
    assert request.hung_up
    owed = provider.owed["m"]
    assert owed.input_tokens > 0
    assert 5 <= owed.output_tokens < 1000


def test_a_closed_port_refuses_and_opens_again(provider: FakeProvider) -> None:
    with provider.refusing(), pytest.raises(ConnectionRefusedError):
        socket.create_connection((provider.host, provider.port), timeout=1)
    socket.create_connection((provider.host, provider.port), timeout=1).close()


def test_a_taken_port_is_an_error(provider: FakeProvider) -> None:
    with pytest.raises(OSError, match="in use"), FakeProvider(port=provider.port):
        pass


def test_requests_can_be_awaited(fake_provider: FakeProvider) -> None:
    raw(fake_provider, stream=False)
    (request,) = fake_provider.wait_for_requests(1)
    assert request.path == "/v1/chat/completions"
    with pytest.raises(TimeoutError, match="1 of 2 requests came"):
        fake_provider.wait_for_requests(2, timeout=0.01)
    fake_provider.forget()
    assert (fake_provider.requests, fake_provider.owed) == ([], {})


def test_the_process_serves_and_is_scripted_over_http() -> None:
    command = [sys.executable, "-m", "noria.testing.provider", "--text", "standing"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        control = url.removesuffix("/v1") + "/fake"
        try:
            httpx2.put(
                f"{control}/replies", json=[{"text": "queued", "usage": {"input_tokens": 9}}]
            )
            ask = openai.OpenAI(base_url=url, api_key="x").chat.completions.create
            said = [ask(model="m", messages=ASK).choices[0].message.content for _ in range(2)]
            assert said == ["queued", "standing"]
            assert httpx2.get(f"{control}/owed").json()["m"]["calls"] == 2
            assert len(httpx2.get(f"{control}/requests").json()) == 2
            assert httpx2.put(f"{control}/reply", json={"text": 5}).status_code == 400
            httpx2.put(f"{control}/reply", json={"fault": "server-error"})
            with pytest.raises(openai.InternalServerError):
                openai.OpenAI(base_url=url, api_key="x", max_retries=0).post(
                    "/chat/completions", cast_to=object, body={"model": "m", "messages": ASK}
                )
            httpx2.delete(control)
            assert httpx2.get(f"{control}/owed").json() == {}
        finally:
            process.terminate()
        assert process.wait(10) == 0


def test_the_switch_is_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FORBID_REAL_REQUESTS, raising=False)
    with forbid_real_requests():
        with forbid_real_requests():
            assert os.environ[FORBID_REAL_REQUESTS]
        assert os.environ[FORBID_REAL_REQUESTS]
    assert FORBID_REAL_REQUESTS not in os.environ


def test_a_delay_holds_back_the_first_byte(provider: FakeProvider) -> None:
    provider.reply = Reply(first_delay=0.2)
    before = time.monotonic()
    raw(provider, stream=True)
    assert time.monotonic() - before >= 0.2


@pytest.mark.usefixtures("no_real_requests")
def test_the_fixture_sets_the_switch() -> None:
    assert os.environ[FORBID_REAL_REQUESTS]
