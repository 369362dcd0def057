"""Official clients against models whose providers speak other dialects than they do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import types

from noria.testing import FakeProvider, Fault, Reply, ToolCall
from noria.types import Usage
from tests.support.door import Door, bearer

USAGE = Usage(input_tokens=100, output_tokens=30)
WIRES = ("chat", "messages", "responses", "gemini")
CLIENTS = ("anthropic", "openai", "responses", "google")
OWN = {"anthropic": "messages", "openai": "chat", "responses": "responses", "google": "gemini"}
SETTINGS = "".join(
    f'[providers.{wire}]\nbase_url = "{{base}}/{"v1beta" if wire == "gemini" else "v1"}"\n'
    f'wire = "{wire}"\n[prices."{wire}:large"]\ninput = 2.0\noutput = 10.0\n'
    for wire in WIRES
)
COST = 100 * 2_000 + 30 * 10_000
TOOL = {"type": "object", "properties": {"where": {"type": "string"}}, "required": ["where"]}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Door, FakeProvider]]:
    with FakeProvider() as fake:
        base = fake.url.removesuffix("/v1")
        folder = tmp_path_factory.mktemp("translated")
        quick = "[routing]\nretries = 0\nbreaker_failures = 1000\n"
        door = Door(folder, fake, SETTINGS.format(base=base) + quick).start()
        try:
            yield door, fake
        finally:
            door.stop()


class Said:
    """What a client was told, whatever its own types are."""

    def __init__(self, text: str, stop: str, call: tuple[str, Any] | None, tokens: tuple[int, int]):
        self.text, self.stop, self.call, self.tokens = text, stop, call, tokens


def by_anthropic(door: Door, secret: str, model: str, stream: bool, tool: bool) -> Said:
    client = anthropic.Anthropic(base_url=door.url, api_key=secret, max_retries=0)
    fields: dict[str, Any] = {
        "model": model, "max_tokens": 100, "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Where?"}]}],
    }  # fmt: skip
    if tool:
        fields["tools"] = [{"name": "look", "description": "Looks.", "input_schema": TOOL}]
    if stream:
        with client.messages.stream(**fields) as events:
            message = events.get_final_message()
    else:
        message = client.messages.create(**fields)
    text = "".join(block.text for block in message.content if block.type == "text")
    calls = [block for block in message.content if block.type == "tool_use"]
    call = (calls[0].name, calls[0].input) if calls else None
    usage = message.usage
    return Said(text, str(message.stop_reason), call, (usage.input_tokens, usage.output_tokens))


def by_openai(door: Door, secret: str, model: str, stream: bool, tool: bool) -> Said:
    client = openai.OpenAI(base_url=f"{door.url}/v1", api_key=secret, max_retries=0)
    fields: dict[str, Any] = {
        "model": model, "max_tokens": 100,
        "messages": [
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where?"}
        ],
    }  # fmt: skip
    if tool:
        function = {"name": "look", "description": "Looks.", "parameters": TOOL}
        fields["tools"] = [{"type": "function", "function": function}]
    if stream:
        text, name, arguments, stop, tokens = "", "", "", "", (0, 0)
        options = {"include_usage": True}
        for chunk in client.chat.completions.create(**fields, stream=True, stream_options=options):
            if chunk.usage is not None:
                tokens = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
            for choice in chunk.choices:
                text += choice.delta.content or ""
                stop = choice.finish_reason or stop
                for part in choice.delta.tool_calls or ():
                    name += part.function.name or ""
                    arguments += part.function.arguments or ""
        return Said(text, stop, (name, json.loads(arguments)) if name else None, tokens)
    answer = client.chat.completions.create(**fields)
    message = answer.choices[0].message
    call = None
    if message.tool_calls:
        function = message.tool_calls[0].function
        call = (function.name, json.loads(function.arguments))
    tokens = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    return Said(message.content or "", answer.choices[0].finish_reason, call, tokens)


def by_responses(door: Door, secret: str, model: str, stream: bool, tool: bool) -> Said:
    client = openai.OpenAI(base_url=f"{door.url}/v1", api_key=secret, max_retries=0)
    fields: dict[str, Any] = {"model": model, "instructions": "Be brief.", "input": "Where?"}
    if tool:
        fields["tools"] = [
            {"type": "function", "name": "look", "parameters": TOOL, "strict": False}
        ]
    if stream:
        with client.responses.stream(**fields) as events:
            numbers = [event.sequence_number for event in events]
            response = events.get_final_response()
        assert numbers == sorted(set(numbers)), numbers
    else:
        response = client.responses.create(**fields)
    calls = [item for item in response.output if item.type == "function_call"]
    call = (calls[0].name, json.loads(calls[0].arguments)) if calls else None
    tokens = (response.usage.input_tokens, response.usage.output_tokens)
    return Said(response.output_text, str(response.status), call, tokens)


def by_google(door: Door, secret: str, model: str, stream: bool, tool: bool) -> Said:
    client = genai.Client(api_key=secret, http_options=types.HttpOptions(base_url=door.url))
    config: dict[str, Any] = {"system_instruction": "Be brief."}
    if tool:
        declared = {"name": "look", "description": "Looks.", "parameters_json_schema": TOOL}
        config["tools"] = [{"function_declarations": [declared]}]
    if stream:
        pieces = list(
            client.models.generate_content_stream(model=model, contents="Where?", config=config)
        )
    else:
        pieces = [client.models.generate_content(model=model, contents="Where?", config=config)]
    parts = [part for piece in pieces for part in ((piece.candidates or [])[0].content.parts or ())]
    text = "".join(part.text or "" for part in parts)
    calls = [part.function_call for part in parts if part.function_call]
    call = (calls[0].name, calls[0].args) if calls else None
    usage = pieces[-1].usage_metadata
    tokens = (usage.prompt_token_count or 0, usage.candidates_token_count or 0)
    return Said(text, str(pieces[-1].candidates[0].finish_reason), call, tokens)


ASK = {
    "anthropic": by_anthropic, "openai": by_openai, "responses": by_responses, "google": by_google
}  # fmt: skip
STOPS = {"anthropic": "end_turn", "openai": "stop", "responses": "completed",
         "google": "FinishReason.STOP"}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_reaches_every_wire(
    shared: tuple[Door, FakeProvider], client: str, wire: str, stream: bool
) -> None:
    door, fake = shared
    fake.forget()
    team = f"{client}-{wire}-{stream}"
    secret = door.key(budget="1 USD/day", team=team)
    fake.reply = Reply(text="In a café, 東京 🗼.", usage=USAGE)
    said = ASK[client](door, secret, f"{wire}:large", stream, False)
    assert said.text == "In a café, 東京 🗼."
    assert said.stop == STOPS[client]
    assert said.tokens == (100, 30)
    fake.reply = Reply(tool_calls=[ToolCall("look", {"where": "café 🗼"})], usage=USAGE)
    said = ASK[client](door, secret, f"{wire}:large", stream, True)
    assert said.call == ("look", {"where": "café 🗼"})
    spans = door.spans(team=team)
    assert [span.status for span in spans] == ["ok", "ok"]
    assert [span.cost_nano for span in spans] == [COST, COST]
    assert [span.target for span in spans] == [f"{wire}:large"] * 2
    translated = None if OWN[client] == wire else f"{OWN[client]} to {wire}"
    assert [span.attributes.get("translated") for span in spans] == [translated] * 2
    assert "Be brief." in json.dumps(fake.requests[0].body)


FAULTS = (
    Fault.SERVER_ERROR, Fault.RATE_LIMITED, Fault.UNAUTHORIZED, Fault.RESET, Fault.MALFORMED_JSON,
    Fault.MALFORMED_SSE, Fault.RESET_MID_STREAM, Fault.TRUNCATED, Fault.NO_USAGE,
)  # fmt: skip
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    "messages": (
        "/v1/messages", {"max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}
    ),
    "responses": ("/v1/responses", {"input": "Hi"}),
    "gemini": (
        "/v1beta/models/{model}:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
    ),
    "completions": ("/v1/completions", {"prompt": "Hi"}),
}  # fmt: skip


def posted(door: Door, secret: str, dialect: str, model: str, stream: bool) -> httpx2.Response:
    path, body = BODIES[dialect]
    if dialect == "gemini":
        path = path.format(model=model)
        path = path.replace(":generate", ":streamGenerate") if stream else path
    else:
        body = body | {"model": model, "stream": stream}
    return httpx2.post(f"{door.url}{path}", json=body, headers=bearer(secret), timeout=30)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("dialect", BODIES)
def test_every_fault_is_one_well_formed_error(
    shared: tuple[Door, FakeProvider], dialect: str, wire: str, stream: bool
) -> None:
    """One error or an answer, the hold settled, one span; over nine faults."""
    door, fake = shared
    team = f"faults-{dialect}-{wire}-{stream}"
    secret = door.key(budget="1 USD/day", team=team)
    for fault in FAULTS:
        fake.reply = Reply(text="one two three four", fault=fault)
        answer = posted(door, secret, dialect, f"{wire}:large", stream)
        fine = fault is Fault.NO_USAGE
        if answer.status_code == 200 and not fine:
            last = answer.content.strip().rpartition(b"data: ")[2]
            assert stream, fault
            told = json.loads(last)
        else:
            assert (answer.status_code == 200) == fine, (fault, answer.text)
            told = None if fine else answer.json()
        if told is not None:
            assert told["error"]["message"], fault
            assert (told.get("type") == "error") == (dialect == "messages")
            assert ("status" in told["error"]) == (dialect == "gemini")
    spans = door.spans(team=team)
    assert sorted(span.status for span in spans) == ["error"] * 8 + ["ok"]
    assert all(span.hold_nano == 0 for span in spans)
