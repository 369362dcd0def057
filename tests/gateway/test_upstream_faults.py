"""Every fault of a provider: the caller gets one well-formed error or the fallback's answer, the
hold is settled, and the span says what happened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import httpx2
import openai
import pytest

from noria.testing import FakeProvider, Fault, Reply
from noria.types import Span, Subject, Usage
from tests.support.door import NANO_PER_TOKEN, PRICES, Door, chat, wait_until

SETTINGS = (
    PRICES
    + """
[prices."spare:small"]
input = 1000.0
output = 1000.0

[models.steady]
targets = ["fake:small", "spare:small"]

[routing]
retries = 1
backoff_seconds = 0.01
first_byte_seconds = 0.5
stall_seconds = 0.5
breaker_failures = 1000
"""
)
BUDGET = "1000 USD/day"


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


@pytest.fixture(scope="module")
def spare() -> Iterator[FakeProvider]:
    with FakeProvider(Reply(text="from the spare")) as running:
        yield running


@pytest.fixture(scope="module")
def door(
    provider: FakeProvider, spare: FakeProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    settings = f'[providers.spare]\nbase_url = "{spare.url}"\n' + SETTINGS
    started = Door(tmp_path_factory.mktemp("door"), provider, settings).start()
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def _healthy_again(provider: FakeProvider) -> Iterator[None]:
    yield
    provider.reply = Reply()
    provider.forget()


# What the caller sees of each fault: the status and the code. Plain answers first.
PLAIN = {
    Fault.REFUSE: (502, "upstream_refused"),
    Fault.RESET: (502, "upstream_reset"),
    Fault.RESET_MID_STREAM: (502, "upstream_reset"),
    Fault.STALL: (504, "upstream_timeout"),
    Fault.STALL_MID_STREAM: (504, "upstream_timeout"),
    Fault.MALFORMED_JSON: (502, "upstream_malformed"),
    Fault.MALFORMED_SSE: (502, "upstream_malformed"),
    Fault.RATE_LIMITED: (429, "upstream_rate_limited"),
    Fault.SERVER_ERROR: (502, "upstream_error"),
    Fault.UNAUTHORIZED: (502, "upstream_credentials"),
    Fault.HUGE_BODY: (502, "upstream_too_large"),
    Fault.TRUNCATED: (502, "upstream_reset"),
}
# A stream that broke before a byte went down is an error like any other.
BEFORE_A_BYTE = {
    fault: PLAIN[fault]
    for fault in (
        Fault.REFUSE,
        Fault.RESET,
        Fault.STALL,
        Fault.MALFORMED_SSE,
        Fault.RATE_LIMITED,
        Fault.SERVER_ERROR,
        Fault.UNAUTHORIZED,
    )
}
IN_MID_STREAM = {
    Fault.RESET_MID_STREAM: "upstream_reset",
    Fault.STALL_MID_STREAM: "upstream_timeout",
    Fault.MALFORMED_JSON: "upstream_malformed",
    Fault.HUGE_BODY: "upstream_malformed",
    Fault.TRUNCATED: "upstream_reset",
}


def only_span(door: Door, team: str) -> Span:
    wait_until(lambda: bool(door.spans(team=team)), 5)
    (span,) = door.spans(team=team)
    return span


def settled(door: Door, team: str) -> Span:
    """The span of the only call of a team, whose budget holds nothing any more and has spent what
    the span cost."""
    span = only_span(door, team)
    (key_id,) = {span.key_id}
    standing = door.budget(Subject.KEY, key_id)
    assert standing.held_nano == 0
    assert standing.spent_nano == span.cost_nano
    assert span.hold_nano == 0
    return span


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("fault", PLAIN)
def test_a_fault_becomes_one_error(
    door: Door, provider: FakeProvider, fault: Fault, stream: bool
) -> None:
    if stream and fault not in BEFORE_A_BYTE:
        pytest.skip("it breaks in mid-stream")
    team = f"{fault}-{stream}"
    secret = door.key(team=team, budget=BUDGET)
    provider.reply = Reply(fault=fault, huge_bytes=80_000_000)
    with door.client(secret) as client:
        answer = client.post("/v1/chat/completions", json=chat(stream=stream))
    status, code = PLAIN[fault]
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    if fault is Fault.RATE_LIMITED:
        assert answer.headers["retry-after"] == "1"
    span = settled(door, team)
    assert (span.status, span.error_code, span.target) == ("error", code, "fake:small")
    assert span.trace_id == answer.headers["x-noria-trace"]
    assert span.error
    tried_again = fault not in (Fault.UNAUTHORIZED, Fault.HUGE_BODY)
    assert span.attempts == (2 if tried_again else 1)


@pytest.mark.parametrize(("fault", "code"), IN_MID_STREAM.items())
def test_a_stream_that_breaks_ends_with_one_error(
    door: Door, provider: FakeProvider, fault: Fault, code: str
) -> None:
    team = f"mid-{fault}"
    secret = door.key(team=team, budget=BUDGET)
    provider.reply = Reply(text="one " * 40, fault=fault, huge_bytes=8_000_000)
    with door.client(secret) as client:
        answer = client.post("/v1/chat/completions", json=chat(stream=True))
    assert answer.status_code == 200
    events = [event for event in answer.text.split("\n\n") if event]
    assert all(event.startswith("data: ") for event in events)
    *chunks, last = (json.loads(event[6:]) for event in events)
    assert last["error"]["code"] == code
    assert all("error" not in chunk for chunk in chunks)
    span = settled(door, team)
    assert (span.status, span.error_code, span.attempts) == ("error", code, 1)
    said = sum(bool(c["choices"] and c["choices"][0]["delta"].get("content")) for c in chunks)
    assert span.output_tokens == said > 10
    # Charged by what was generated, with the prompt estimated.
    assert span.input_tokens is not None
    assert span.cost_nano == (span.input_tokens + span.output_tokens) * NANO_PER_TOKEN
    assert len(provider.requests) == 1, "it was tried again after bytes went down"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_the_openai_client_sees_its_own_exceptions(
    door: Door, provider: FakeProvider, stream: bool
) -> None:
    client = openai.OpenAI(base_url=f"{door.url}/v1", api_key=door.key(), max_retries=0)
    provider.reply = Reply(fault=Fault.SERVER_ERROR)
    with pytest.raises(openai.InternalServerError, match="fake:small failed"):
        client.chat.completions.create(**chat(stream=stream))
    provider.reply = Reply(fault=Fault.RATE_LIMITED)
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**chat(stream=stream))
    if stream:
        provider.reply = Reply(fault=Fault.RESET_MID_STREAM)
        with pytest.raises(openai.APIError, match="broke off"):
            list(client.chat.completions.create(**chat(stream=True)))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("fault", BEFORE_A_BYTE)
def test_the_next_target_answers_instead(
    door: Door, provider: FakeProvider, fault: Fault, stream: bool
) -> None:
    team = f"fallback-{fault}-{stream}"
    secret = door.key(team=team, budget=BUDGET)
    provider.reply = Reply(fault=fault)
    with door.client(secret) as client:
        answer = client.post("/v1/chat/completions", json=chat(model="steady", stream=stream))
    assert answer.status_code == 200
    assert "spare" in answer.text
    assert answer.headers["x-noria-model"] == "spare:small"
    span = settled(door, team)
    assert (span.status, span.target, span.model) == ("ok", "spare:small", "steady")
    assert span.attempts >= 2


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_usage_that_is_missing_is_estimated_and_marked(
    door: Door, provider: FakeProvider, stream: bool
) -> None:
    team = f"no-usage-{stream}"
    secret = door.key(team=team, budget=BUDGET)
    provider.reply = Reply(text="word " * 30, fault=Fault.NO_USAGE)
    with door.client(secret) as client:
        answer = client.post("/v1/chat/completions", json=chat(stream=stream))
    assert answer.status_code == 200
    span = settled(door, team)
    assert span.status == "ok"
    assert span.attributes["usage_estimated"] is True
    assert span.output_tokens is not None
    assert span.output_tokens >= 30
    assert span.cost_nano > 0


def test_usage_above_the_hold_is_charged_and_marked(door: Door, provider: FakeProvider) -> None:
    secret = door.key(team="overrun", budget=BUDGET)
    provider.reply = Reply(text="dear", usage=Usage(12, 5000))
    with door.client(secret) as client:
        answer = client.post("/v1/chat/completions", json=chat(max_tokens=10))
    assert answer.headers["x-noria-cost-nano"] == str(5012 * NANO_PER_TOKEN)
    span = settled(door, "overrun")
    assert span.overrun
    assert span.cost_nano == 5012 * NANO_PER_TOKEN


def test_a_refusal_by_the_provider_is_passed_on_with_its_words(
    door: Door, provider: FakeProvider
) -> None:
    secret = door.key(team="passed-on")
    provider.reply = Reply(status=400, text="This model knows no such field.")
    with door.client(secret) as client:
        answer = client.post("/v1/chat/completions", json=chat())
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "This model knows no such field."
    assert len(provider.requests) == 1, "the caller's mistake was tried again"


def test_retry_after_is_waited_for(door: Door, provider: FakeProvider) -> None:
    secret = door.key(team="patient", budget=BUDGET)
    provider.queue(Reply(fault=Fault.RATE_LIMITED), Reply(text="at last"))
    with door.client(secret) as client:
        answer = client.post("/v1/chat/completions", json=chat())
    assert answer.status_code == 200
    assert settled(door, "patient").duration_ms > 900  # type: ignore[operator]


def test_a_kept_connection_that_died_is_no_fault(door: Door, provider: FakeProvider) -> None:
    secret = door.key(team="kept")
    with door.client(secret) as client:
        assert client.post("/v1/chat/completions", json=chat()).status_code == 200
        with provider.refusing():
            pass  # All connections are reset, the pool's kept one too.
        assert client.post("/v1/chat/completions", json=chat()).status_code == 200


def test_the_breaker_leaves_a_dead_target_alone(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    door = new_door(
        PRICES + "[routing]\nretries = 0\nbreaker_failures = 3\nbreaker_seconds = 1.0\n"
    )
    fake.reply = Reply(fault=Fault.SERVER_ERROR)
    secret = door.key()
    with door.client(secret) as client:
        codes = [
            client.post("/v1/chat/completions", json=chat()).json()["error"]["code"]
            for _ in range(6)
        ]
        assert codes[:3] == ["upstream_error"] * 3
        assert len(fake.requests) == 3, codes
        assert httpx2.get(f"{door.url}/health").json()["resting_targets"] == ["fake:small"]
        fake.reply = Reply()
        wait_until(lambda: client.post("/v1/chat/completions", json=chat()).status_code == 200, 5)
    assert httpx2.get(f"{door.url}/health").json()["resting_targets"] == []


def test_no_secret_of_a_provider_reaches_a_caller(
    new_door: Callable[..., Door], fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PROVIDER_KEY", "sk-very-secret-0123456789")
    door = new_door(PRICES.replace("[prices", 'api_key_env = "FAKE_PROVIDER_KEY"\n[prices', 1))
    fake.reply = Reply(status=401, text="Incorrect API key provided: sk-very-secret-0123456789.")
    secret = door.key()
    with door.client(secret) as client:
        answer = client.post("/v1/chat/completions", json=chat())
    (request,) = fake.requests
    assert request.headers["authorization"] == "Bearer sk-very-secret-0123456789"
    assert answer.status_code == 502
    door.spans()
    kept = (
        b"".join(file.read_bytes() for file in door.home.rglob("*") if file.is_file())
        + door.log().encode()
    )
    for text in (answer.text.encode(), kept):
        assert b"sk-very-secret" not in text
    assert secret.encode() not in kept


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("fault", [Fault.RESET, Fault.STALL])
def test_what_was_sent_and_not_answered_is_charged_its_hold(
    door: Door, provider: FakeProvider, fault: Fault, stream: bool
) -> None:
    team = f"unanswered-{fault}-{stream}"
    secret = door.key(team=team, budget=BUDGET)
    provider.reply = Reply(fault=fault)
    with door.client(secret) as client:
        assert client.post("/v1/chat/completions", json=chat(stream=stream)).status_code >= 500
    (span,) = door.spans(team=team)
    assert span.attempts >= 2
    assert span.uncertain_nano == span.cost_nano > 0
    assert door.budget(Subject.KEY, span.key_id).spent_nano == span.cost_nano
