"""Tool calls by the `openai` client's own shapes. The model is weak, so these tests look at form
and validity, not at wisdom."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def tool(name: str, description: str, properties: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


WEATHER = tool(
    "get_weather",
    "Get the current weather in a city",
    {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
)
EMAIL = tool(
    "send_email",
    "Send an e-mail to a person",
    {"to": {"type": "string"}, "urgent": {"type": "boolean"}},
)
QUESTION = {"role": "user", "content": "What is the weather in Paris?"}


def chat(client: openai.OpenAI, messages: list[Any], **more: Any) -> Any:
    return client.chat.completions.create(model="smollm2", messages=messages, seed=1, **more)


def check(call: Any) -> None:
    """A whole call whose arguments fit the schema of the tool that it names."""
    assert call.id.startswith("call_")
    assert call.type == "function"
    arguments = json.loads(call.function.arguments)
    if call.function.name == "get_weather":
        assert set(arguments) == {"city", "unit"}
        assert isinstance(arguments["city"], str)
        assert arguments["unit"] in ("celsius", "fahrenheit")
    else:
        assert call.function.name == "send_email"
        assert set(arguments) == {"to", "urgent"}
        assert isinstance(arguments["urgent"], bool)


def test_auto_calls_a_tool_that_is_needed_and_only_then(smollm2: openai.OpenAI) -> None:
    (choice,) = chat(smollm2, [QUESTION], tools=[WEATHER]).choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    for call in choice.message.tool_calls:
        check(call)
    hello = chat(smollm2, [{"role": "user", "content": "Hi!"}], tools=[WEATHER], max_tokens=20)
    assert hello.choices[0].message.tool_calls is None
    assert hello.choices[0].message.content


def test_none_calls_nothing(smollm2: openai.OpenAI) -> None:
    reply = chat(smollm2, [QUESTION], tools=[WEATHER], tool_choice="none", max_tokens=10)
    assert reply.choices[0].message.tool_calls is None
    assert reply.choices[0].message.content


def test_required_calls_something_several_times_at_most_four(smollm2: openai.OpenAI) -> None:
    reply = chat(smollm2, [QUESTION], tools=[WEATHER, EMAIL], tool_choice="required")
    calls = reply.choices[0].message.tool_calls
    assert 1 <= len(calls) <= 4
    for call in calls:
        check(call)
    assert len({(call.function.name, call.function.arguments) for call in calls}) == len(calls)
    assert reply.usage.completion_tokens > 0


def test_calls_one_at_a_time_for_each_choice(smollm2: openai.OpenAI) -> None:
    reply = chat(
        smollm2,
        [QUESTION],
        tools=[WEATHER, EMAIL],
        tool_choice="required",
        parallel_tool_calls=False,
        n=2,
    )
    assert [choice.index for choice in reply.choices] == [0, 1]
    for choice in reply.choices:
        (call,) = choice.message.tool_calls
        check(call)


def test_the_named_tool_is_called_once(smollm2: openai.OpenAI) -> None:
    named = {"type": "function", "function": {"name": "send_email"}}
    reply = chat(smollm2, [QUESTION], tools=[WEATHER, EMAIL], tool_choice=named)
    (call,) = reply.choices[0].message.tool_calls
    assert call.function.name == "send_email"
    check(call)


def test_streamed_calls_come_in_pieces(smollm2: openai.OpenAI) -> None:
    stream = chat(
        smollm2,
        [QUESTION],
        tools=[WEATHER, EMAIL],
        tool_choice="required",
        stream=True,
        stream_options={"include_usage": True},
    )
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    finish = usage = None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            for piece in choice.delta.tool_calls or ():
                if piece.index not in names:
                    assert piece.id
                    assert piece.function.name
                    names[piece.index] = piece.function.name
                    arguments[piece.index] = ""
                else:
                    assert piece.id is None
                arguments[piece.index] += piece.function.arguments
    assert finish == "tool_calls"
    assert usage is not None
    assert sorted(names) == list(range(len(names)))
    for text in arguments.values():
        assert isinstance(json.loads(text), dict)


def test_a_call_that_is_cut_says_so(smollm2: openai.OpenAI) -> None:
    reply = chat(smollm2, [QUESTION], tools=[EMAIL], tool_choice="required", max_tokens=2)
    assert reply.choices[0].finish_reason == "length"


def test_the_loop_closes(smollm2: openai.OpenAI) -> None:
    first = chat(smollm2, [QUESTION], tools=[WEATHER], tool_choice="required")
    made = first.choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": '{"sky": "clear", "celsius": 18}'}
        for call in made.tool_calls
    ]
    reply = chat(smollm2, [QUESTION, made, *results], tools=[WEATHER], max_tokens=60)
    assert reply.choices[0].message.tool_calls is None
    assert reply.choices[0].message.content
    unread = chat(smollm2, [QUESTION], tools=[WEATHER], tool_choice="none", max_tokens=1)
    assert reply.usage.prompt_tokens > unread.usage.prompt_tokens + 20  # the result was read


def test_a_tool_without_parameters(smollm2: openai.OpenAI) -> None:
    ping = {"type": "function", "function": {"name": "ping"}}
    reply = chat(smollm2, [QUESTION], tools=[ping], tool_choice="required")
    assert json.loads(reply.choices[0].message.tool_calls[0].function.arguments) == {}


@pytest.mark.parametrize(
    "tools",
    [
        "tools",
        [{"type": "function"}],
        [{"type": "function", "function": {"name": "f", "parameters": 3}}],
        [WEATHER, WEATHER],
        [{"type": "function", "function": {"name": "f", "parameters": {"type": "strung"}}}],
    ],
)
def test_tools_that_are_none(smollm2: openai.OpenAI, tools: Any) -> None:
    with pytest.raises(openai.BadRequestError):
        chat(smollm2, [QUESTION], tools=tools, tool_choice="required")


def test_a_named_tool_that_is_not_there(smollm2: openai.OpenAI) -> None:
    named = {"type": "function", "function": {"name": "absent"}}
    with pytest.raises(openai.BadRequestError, match="absent"):
        chat(smollm2, [QUESTION], tools=[WEATHER], tool_choice=named)
