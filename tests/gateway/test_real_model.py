"""The `openai` client, unchanged, against the real small model behind the real door."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from noria.testing import FakeProvider
from noria.types import Status
from tests.support.door import Door

pytest_plugins = ["tests.support.door"]
pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

MODEL = "local:smollm2"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with FakeProvider() as nobody:
        door = Door(tmp_path_factory.mktemp("real"), nobody)
        door.start()
        yield door
        door.stop()


@pytest.fixture(scope="module")
def client(door: Door) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{door.url}/v1", api_key=door.key(team="real"), timeout=300)


def test_chat_and_its_record(client: openai.OpenAI, door: Door) -> None:
    reply = client.chat.completions.with_raw_response.create(
        model=MODEL,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        max_tokens=40,
        temperature=0,
    )
    answer = reply.parse()
    assert answer.choices[0].message.content
    assert answer.usage is not None
    (span,) = (s for s in door.spans() if s.trace_id == reply.headers["x-noria-trace"])
    assert span.status is Status.OK
    assert (span.input_tokens, span.output_tokens) == (
        answer.usage.prompt_tokens, answer.usage.completion_tokens,
    )  # fmt: skip
    assert (span.cost_nano, span.team, span.target) == (0, "real", MODEL)
    assert span.attributes["compute_ms"]


def test_the_same_seed_says_the_same(client: openai.OpenAI) -> None:
    said = {
        client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Invent a name for a cat."}],
            max_completion_tokens=12,
            temperature=1,
            seed=7,
        )
        .choices[0]
        .message.content
        for _ in range(2)
    }
    assert len(said) == 1


def test_stream(client: openai.OpenAI, door: Door) -> None:
    pieces, usage = [], None
    for chunk in client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Count from one to five."}],
        max_tokens=40,
        stream=True,
        stream_options={"include_usage": True},
    ):
        usage = chunk.usage or usage
        pieces += [choice.delta.content for choice in chunk.choices if choice.delta.content]
    assert len(pieces) > 3
    assert usage is not None
    span = door.spans()[0]
    assert span.stream
    assert span.output_tokens == usage.completion_tokens
    assert span.ttft_ms is not None
    assert span.duration_ms is not None
    assert span.ttft_ms < span.duration_ms


def test_several_choices_and_log_probabilities(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Say a colour."}],
        n=2,
        max_tokens=4,
        logprobs=True,
        top_logprobs=2,
    )
    assert [choice.index for choice in reply.choices] == [0, 1]
    for choice in reply.choices:
        assert choice.logprobs is not None
        assert choice.logprobs.content
        assert all(token.logprob <= 0 for token in choice.logprobs.content)


def test_json_schema(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    reply = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Ada is 36 years old. Give her name and age."}],
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "person", "strict": True, "schema": schema},
        },
        max_tokens=100,
    )
    person = json.loads(reply.choices[0].message.content or "")
    assert isinstance(person["name"], str)
    assert isinstance(person["age"], int)
    assert set(person) == {"name", "age"}


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "weather"}}]
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_tool_loop(client: openai.OpenAI, choice: object, stream: bool) -> None:
    messages: list[dict[str, object]] = [
        {"role": "user", "content": "What is the weather in Paris?"}
    ]
    asked = {"model": MODEL, "tools": [WEATHER], "temperature": 0, "max_tokens": 100}
    if stream:
        name, arguments, ids = "", "", set()
        for chunk in client.chat.completions.create(
            messages=messages, tool_choice=choice, stream=True, **asked
        ):
            for piece in chunk.choices:
                for call in piece.delta.tool_calls or ():
                    ids |= {call.id} if call.id else set()
                    name += call.function.name or ""
                    arguments += call.function.arguments or ""
        (call_id,) = ids
    else:
        reply = client.chat.completions.create(messages=messages, tool_choice=choice, **asked)
        assert reply.choices[0].finish_reason == "tool_calls"
        (made,) = reply.choices[0].message.tool_calls or ()
        name, arguments, call_id = made.function.name, made.function.arguments, made.id
    assert name == "weather"
    assert isinstance(json.loads(arguments)["city"], str)
    call = {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }
    messages += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": '{"sky": "sunny", "celsius": 21}'},
    ]
    final = client.chat.completions.create(messages=messages, tool_choice="none", **asked)
    assert final.choices[0].message.content
    assert not final.choices[0].message.tool_calls


def test_embeddings(client: openai.OpenAI, door: Door) -> None:
    texts = ["A cat sat on the mat.", "A kitten rests on a rug.", "The stock market fell sharply."]
    reply = client.embeddings.create(model="local:minilm", input=texts)
    cat, kitten, market = (row.embedding for row in reply.data)
    assert len(cat) == 384

    def cosine(a: list[float], b: list[float]) -> float:
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    assert cosine(cat, kitten) > cosine(cat, market) + 0.2
    assert door.spans()[0].kind == "embedding"


def test_errors_are_the_clients_own(client: openai.OpenAI, door: Door) -> None:
    asked = {"messages": [{"role": "user", "content": "x"}]}
    with pytest.raises(openai.NotFoundError, match="local:smollm2"):
        client.chat.completions.create(model="local:smollm", **asked)
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").chat.completions.create(model=MODEL, **asked)
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=MODEL, messages=[])
    assert refused.value.param == "messages"
    with pytest.raises(openai.BadRequestError, match="context"):
        client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "long " * 20_000}]
        )
    narrow = client.with_options(api_key=door.key(models=["local:minilm"]))
    with pytest.raises(openai.PermissionDeniedError):
        narrow.chat.completions.create(model=MODEL, **asked)


def test_the_curl_line_of_the_greeting_works_when_pasted(door: Door) -> None:
    import subprocess

    greeting = door.log()
    (line,) = (line for line in greeting.splitlines() if "curl " in line)
    command = line[line.index("curl ") :]
    said = subprocess.run(["bash", "-c", command], capture_output=True, check=True, timeout=120)
    assert json.loads(said.stdout)["choices"][0]["message"]["content"]
    assert (door.home / "local-key").stat().st_mode & 0o777 == 0o600
    assert Path(door.home / "admin-key").stat().st_mode & 0o777 == 0o600
