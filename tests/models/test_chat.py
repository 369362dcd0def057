"""The `openai` client, unchanged, against the real engine process."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
HELLO: list[Any] = [{"role": "user", "content": "Say hello."}]


def chat(client: openai.OpenAI, messages: list[Any] = HELLO, **more: Any) -> Any:
    return client.chat.completions.create(model="smollm2", messages=messages, **more)


def test_a_reply_with_usage_and_busy_time(smollm2: openai.OpenAI) -> None:
    reply = chat(smollm2, max_tokens=8)
    assert reply.object == "chat.completion"
    assert reply.model == "smollm2"
    assert reply.choices[0].message.role == "assistant"
    assert reply.choices[0].message.content
    usage = reply.usage
    assert 0 < usage.completion_tokens <= 8
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.model_extra["compute_ms"] > 0


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_a_limit_is_kept(smollm2: openai.OpenAI, limit: str) -> None:
    reply = chat(smollm2, [{"role": "user", "content": "Tell me a long story."}], **{limit: 5})
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage.completion_tokens == 5


def test_a_seed_repeats_an_answer_streamed_or_not(smollm2: openai.OpenAI) -> None:
    settings: dict[str, Any] = {"seed": -7, "temperature": 1.0, "max_tokens": 12}
    whole = chat(smollm2, **settings).choices[0].message.content
    chunks = list(chat(smollm2, stream=True, **settings))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == whole
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_comes_last_where_it_was_asked_for(smollm2: openai.OpenAI) -> None:
    *chunks, last = chat(smollm2, max_tokens=4, stream=True, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage.completion_tokens == 4
    assert last.usage.model_extra["compute_ms"] > 0
    assert len({chunk.id for chunk in [*chunks, last]}) == 1


def test_several_choices_are_counted_together(smollm2: openai.OpenAI) -> None:
    reply = chat(smollm2, n=3, max_tokens=4, temperature=1.5)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert reply.usage.completion_tokens == 12


def test_stop_ends_an_answer(smollm2: openai.OpenAI) -> None:
    settings: dict[str, Any] = {"temperature": 0, "max_tokens": 20}
    words = chat(smollm2, **settings).choices[0].message.content
    cut = words[4:7]
    reply = chat(smollm2, stop=[cut], **settings)
    assert reply.choices[0].message.content == words[: words.index(cut)]
    assert reply.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("top", [None, 0, 3])
def test_log_probabilities(smollm2: openai.OpenAI, top: int | None) -> None:
    more: dict[str, Any] = {} if top is None else {"top_logprobs": top}
    counting = [{"role": "user", "content": "Count: one two three four"}]
    reply = chat(smollm2, counting, max_tokens=3, temperature=0, logprobs=True, **more)
    entries = reply.choices[0].logprobs.content
    assert len(entries) == 3
    for entry in entries:
        assert entry.logprob <= 0
        assert bytes(entry.bytes).decode() == entry.token
        assert len(entry.top_logprobs) == (top or 0)


def test_logit_bias_bans_a_token(smollm2: openai.OpenAI) -> None:
    first = chat(smollm2, max_tokens=1, temperature=0, logprobs=True).choices[0].logprobs.content[0]
    token = first.model_extra["id"]
    other = chat(smollm2, max_tokens=1, temperature=0, logit_bias={str(token): -100})
    assert other.choices[0].message.content != first.token


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "role": {"enum": ["admin", "guest"]},
    },
    "required": ["name", "age", "tags", "role"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("seed", range(3))
def test_a_schema_is_kept_and_its_answer_ends(smollm2: openai.OpenAI, seed: int) -> None:
    reply = chat(
        smollm2,
        [{"role": "user", "content": "Describe a person as JSON."}],
        seed=seed,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "person", "schema": PERSON, "strict": True},
        },
    )
    assert reply.choices[0].finish_reason == "stop"
    person = json.loads(reply.choices[0].message.content)
    assert set(person) == {"name", "age", "tags", "role"}
    assert isinstance(person["age"], int)
    assert all(isinstance(tag, str) for tag in person["tags"])
    assert person["role"] in ("admin", "guest")


@pytest.mark.parametrize("seed", range(3))
def test_a_json_object_is_one_and_ends(smollm2: openai.OpenAI, seed: int) -> None:
    reply = chat(
        smollm2,
        [{"role": "user", "content": "Describe Paris as JSON."}],
        seed=seed,
        response_format={"type": "json_object"},
    )
    assert reply.choices[0].finish_reason == "stop"
    assert isinstance(json.loads(reply.choices[0].message.content), dict)


def test_parts_of_text_and_every_role(smollm2: openai.OpenAI) -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "Who are you? \N{WATER WAVE}", "name": "ann"},
    ]
    assert chat(smollm2, messages, max_tokens=4).usage.prompt_tokens > 20


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages.[0].role", "invalid_value"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, None, "invalid_value"),
        ({"messages": [{"role": "user", "content": "hi " * 5000}]}, "messages",
         "context_length_exceeded"),
        ({"temperature": 9}, "temperature", "invalid_value"),
        ({"n": 0}, "n", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"stop": 3}, "stop", "invalid_value"),
        ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"response_format": {"type": "xml"}}, "response_format", "invalid_value"),
        ({"response_format": {"type": "json_schema", "json_schema": {
            "name": "x", "schema": {"type": "strung"}}}}, None, "invalid_value"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_answered_is_a_400(
    smollm2: openai.OpenAI, change: dict[str, Any], param: str | None, code: str, stream: bool
) -> None:
    request: dict[str, Any] = {"messages": HELLO, "stream": stream} | change
    with pytest.raises(openai.BadRequestError) as refused:
        smollm2.chat.completions.create(model="smollm2", **request)
    assert refused.value.code == code
    assert refused.value.type == "invalid_request_error"
    if param:
        assert refused.value.param == param


def test_a_wrong_secret_is_refused(smollm2: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError):
        chat(smollm2.with_options(api_key="wrong"))


def test_models_are_listed(smollm2: openai.OpenAI) -> None:
    assert [model.id for model in smollm2.models.list()] == ["smollm2"]
