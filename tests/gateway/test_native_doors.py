"""Anthropic's, OpenAI's and Google's own clients against providers of their own dialect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import types

from noria.testing import FakeProvider, Fault, Reply, ToolCall
from noria.types import Subject, Usage
from tests.support.door import Door, bearer

USAGE = Usage(input_tokens=1200, output_tokens=30, cached_tokens=1000)
SETTINGS = """
[providers.native]
base_url = "{url}"
wire = ["messages", "responses"]
api_key_env = "NATIVE_KEY"
[providers.google]
base_url = "{google}"
wire = "gemini"
[prices."native:large"]
input = 2.0
output = 10.0
cached_input = 0.2
[prices."google:large"]
input = 2.0
output = 10.0
cached_input = 0.2
"""
COST = 200 * 2_000 + 1000 * 200 + 30 * 10_000


@pytest.fixture
def door(
    new_door: Callable[..., Door], fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> Door:
    monkeypatch.setenv("NATIVE_KEY", "sk-of-noria")
    google = fake.url.removesuffix("/v1") + "/v1beta"
    fake.reply = Reply(text="Paris is the capital.", usage=USAGE)
    return new_door(SETTINGS.format(url=fake.url, google=google))


def claude(door: Door, secret: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=door.url, api_key=secret, max_retries=0)


def gpt(door: Door, secret: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{door.url}/v1", api_key=secret, max_retries=0)


def gemini(door: Door, secret: str) -> genai.Client:
    return genai.Client(api_key=secret, http_options=types.HttpOptions(base_url=door.url))


def ask(name: str, door: Door, secret: str, *, stream: bool) -> str:
    """Ask by an official client; gives the text."""
    if name == "anthropic":
        fields: dict[str, Any] = {
            "model": "native:large", "max_tokens": 100, "system": "Be brief.",
            "messages": [{"role": "user", "content": "What is the capital?"}],
        }  # fmt: skip
        if stream:
            with claude(door, secret).messages.stream(**fields) as events:
                return "".join(events.text_stream)
        block = claude(door, secret).messages.create(**fields).content[0]
        assert block.type == "text"
        return block.text
    if name == "openai":
        client = gpt(door, secret).responses
        if stream:
            with client.stream(model="native:large", input="What is the capital?") as events:
                for _ in events:
                    pass
                return events.get_final_response().output_text
        return client.create(model="native:large", input="What is the capital?").output_text
    google = gemini(door, secret)  # it closes when nothing refers to it
    models = google.models
    if stream:
        pieces = models.generate_content_stream(
            model="google:large", contents="What is the capital?"
        )
        return "".join(piece.text or "" for piece in pieces)
    answer = models.generate_content(model="google:large", contents="What is the capital?")
    return answer.text or ""


CLIENTS = ("anthropic", "openai", "google")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("client", CLIENTS)
def test_an_official_client_reaches_its_own_dialect(
    door: Door, fake: FakeProvider, client: str, stream: bool
) -> None:
    secret = door.key(budget="1 USD/day")
    assert ask(client, door, secret, stream=stream) == "Paris is the capital."
    (span,) = door.spans()
    assert span.status == "ok"
    assert span.stream == stream
    assert (span.input_tokens, span.cached_tokens, span.output_tokens) == (1200, 1000, 30)
    assert span.cost_nano == COST == door.budget(Subject.KEY).spent_nano
    assert door.budget(Subject.KEY).held_nano == 0
    (request,) = fake.requests
    if client != "google":
        shown = request.headers.get("x-api-key") or request.headers["authorization"]
        assert shown.endswith("sk-of-noria")
        assert secret not in str(request.headers)


def test_a_body_passes_as_it_came(door: Door, fake: FakeProvider) -> None:
    """Fields and betas that nobody knows here reach a provider of the same dialect."""
    secret = door.key()
    body = (
        b'{"model": "native:large",  "max_tokens":64, "messages":[{"role":"user","content":"Hi"},'
        b'{"role":"system","content":"mid-way"}], "context_management":{"edits":[{"type":"x_1"}]},'
        b'"output_config":{"effort":"high"},"a_field_of_tomorrow":[1.50,{"b":null}]}'
    )
    answer = httpx2.post(
        f"{door.url}/v1/messages?beta=true",
        content=body,
        headers={
            "x-api-key": secret, "anthropic-version": "2023-06-01",
            "anthropic-beta": "effort-2025-11-24,of-tomorrow-2027-01-01",
        },
    )  # fmt: skip
    assert answer.status_code == 200
    (request,) = fake.requests
    assert request.body["a_field_of_tomorrow"] == [1.5, {"b": None}]
    assert request.body["context_management"] == {"edits": [{"type": "x_1"}]}
    assert request.body["messages"][1] == {"role": "system", "content": "mid-way"}
    assert request.headers["anthropic-beta"] == "effort-2025-11-24,of-tomorrow-2027-01-01"
    assert request.headers["anthropic-version"] == "2023-06-01"


def test_a_tool_call_in_each_dialect(door: Door, fake: FakeProvider) -> None:
    secret = door.key(budget="1 USD/day")
    fake.reply = Reply(tool_calls=[ToolCall("look", {"where": "Ort 東京"})], usage=USAGE)
    tool = {"name": "look", "input_schema": {"type": "object"}}
    with claude(door, secret).messages.stream(
        model="native:large", max_tokens=99, messages=[{"role": "user", "content": "Look"}],
        tools=[tool],  # type: ignore[list-item]
    ) as stream:  # fmt: skip
        message = stream.get_final_message()
    assert message.stop_reason == "tool_use"
    assert message.content[0].type == "tool_use"
    assert message.content[0].input == {"where": "Ort 東京"}
    function = {"type": "function", "name": "look", "parameters": {"type": "object"}}
    response = gpt(door, secret).responses.create(
        model="native:large", input="Look", tools=[function]  # type: ignore[list-item]
    )  # fmt: skip
    assert response.output[0].type == "function_call"
    assert response.output[0].arguments == '{"where":"Ort 東京"}'


@pytest.mark.parametrize("client", CLIENTS)
def test_a_refusal_reads_as_the_client_expects(door: Door, fake: FakeProvider, client: str) -> None:
    with pytest.raises(Exception) as refused:  # noqa: PT011 - each client has its own
        ask(client, door, "sk-noria-wrong", stream=False)
    status = getattr(refused.value, "status_code", None) or getattr(refused.value, "code", None)
    assert status == 401
    if client == "anthropic":
        assert isinstance(refused.value, anthropic.AuthenticationError)
        assert refused.value.body["error"]["type"] == "authentication_error"  # type: ignore[index]
    secret = door.key(budget="0.000001 USD")
    with pytest.raises(Exception) as refused:  # noqa: PT011
        ask(client, door, secret, stream=True)
    status = getattr(refused.value, "status_code", None) or getattr(refused.value, "code", None)
    assert status == 429
    assert fake.requests == []


FAULTS = (
    Fault.SERVER_ERROR, Fault.RATE_LIMITED, Fault.UNAUTHORIZED, Fault.RESET, Fault.MALFORMED_JSON,
    Fault.MALFORMED_SSE, Fault.RESET_MID_STREAM, Fault.TRUNCATED, Fault.NO_USAGE,
)  # fmt: skip
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "messages": (
        "/v1/messages",
        {
            "model": "native:large", "max_tokens": 50,
            "messages": [{"role": "user", "content": "Hi"}],
        },
    ),
    "responses": ("/v1/responses", {"model": "native:large", "input": "Hi"}),
    "gemini": (
        "/v1beta/models/google:large:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
    ),
}  # fmt: skip


def posted(door: Door, secret: str, wire: str, *, stream: bool) -> httpx2.Response:
    path, body = BODIES[wire]
    if wire == "gemini":
        path = path.replace(":generate", ":streamGenerate") if stream else path
    elif stream:
        body = body | {"stream": True}
    return httpx2.post(f"{door.url}{path}", json=body, headers=bearer(secret), timeout=30)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Door, FakeProvider]]:
    with FakeProvider() as fake:
        google = fake.url.removesuffix("/v1") + "/v1beta"
        settings = SETTINGS.format(url=fake.url, google=google).replace(
            'api_key_env = "NATIVE_KEY"', ""
        )
        folder = tmp_path_factory.mktemp("native")
        door = Door(folder, fake, settings + "[routing]\nretries = 0\nbreaker_failures = 1000\n")
        door.start()
        try:
            yield door, fake
        finally:
            door.stop()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("wire", BODIES)
def test_a_fault_is_one_well_formed_error(
    shared: tuple[Door, FakeProvider], wire: str, fault: Fault, stream: bool
) -> None:
    door, fake = shared
    fake.forget()
    fake.reply = Reply(text="one two three four", fault=fault)
    secret = door.key(budget="1 USD/day", team=f"{wire}-{fault.name}-{stream}")
    answer = posted(door, secret, wire, stream=stream)
    fine = fault is Fault.NO_USAGE
    if answer.status_code == 200 and not fine:
        last = answer.content.strip().rpartition(b"data: ")[2]
        assert stream
        assert b'"error"' in last, answer.content
    else:
        assert (answer.status_code == 200) == fine, answer.text
    if answer.status_code != 200:
        told = answer.json()
        assert told["error"]["message"]
        assert (told.get("type") == "error") == (wire == "messages")
        assert ("status" in told["error"]) == (wire == "gemini")
    spans = door.spans(team=f"{wire}-{fault.name}-{stream}")
    assert [span.status for span in spans] == ["ok" if fine else "error"]
    assert spans[0].hold_nano == 0
