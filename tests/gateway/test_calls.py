"""Calls through the door of a real server: the API's shapes, routing, refusals, the record."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx2
import pytest

from noria.testing import FakeProvider, Fault, Reply, ToolCall
from noria.types import Status
from tests.support.door import MODEL, NANO_PER_TOKEN, PRICES, Door, chat, wait_until

pytest_plugins = ["tests.support.door"]

ROUTES = """
[models.fast]
targets = ["fake:first", "fake:second"]
[prices."fake:first"]
input = 1.0
output = 1.0
[prices."fake:second"]
input = 1.0
output = 1.0
[routing]
retries = 1
backoff_seconds = 0.01
breaker_failures = 3
breaker_seconds = 0.5
"""


def error(response: httpx2.Response) -> tuple[int, str, str | None]:
    said = response.json()["error"]
    assert set(said) == {"message", "type", "param", "code"}
    assert said["message"]
    return response.status_code, said["code"], said["param"]


def test_an_answer_passes_unchanged_and_is_found_afterwards(door: Door, fake: FakeProvider) -> None:
    fake.queue(Reply(text="Forty-two."))
    with door.client(door.key(team="search", user="ada")) as client:
        response = client.post("/v1/chat/completions", json=chat("What?", temperature=0.5))
    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"] == "Forty-two."
    assert response.headers["x-noria-model"] == MODEL
    usage = response.json()["usage"]
    cost = (usage["prompt_tokens"] + usage["completion_tokens"]) * NANO_PER_TOKEN
    assert int(response.headers["x-noria-cost-nano"]) == cost
    (span,) = door.spans()
    assert span.trace_id == response.headers["x-noria-trace"]
    assert (span.status, span.cost_nano, span.team, span.user) == (Status.OK, cost, "search", "ada")
    assert fake.requests[-1].body["model"] == "small"
    assert fake.requests[-1].body["temperature"] == 0.5


def test_a_stream_arrives_piece_by_piece_and_usage_only_when_asked(
    door: Door, fake: FakeProvider
) -> None:
    key = door.key()
    for asked in (False, True):
        fake.queue(Reply(text="one two three", chunks=3))
        extra = {"stream_options": {"include_usage": True}} if asked else {}
        with (
            door.client(key) as client,
            client.stream("POST", "/v1/chat/completions", json=chat(stream=True, **extra)) as reply,
        ):
            lines = [line for line in reply.iter_lines() if line]
        assert lines[-1] == "data: [DONE]"
        chunks = [json.loads(line[6:]) for line in lines[:-1]]
        text = "".join(
            c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]
        )
        assert text == "one two three"
        assert [bool(c.get("usage")) for c in chunks].count(True) == asked
        assert fake.requests[-1].body["stream_options"] == {"include_usage": True}
    for span in door.spans():
        assert span.status is Status.OK
        assert span.output_tokens
        assert span.ttft_ms is not None


def test_tool_calls_pass_through(door: Door, fake: FakeProvider) -> None:
    fake.queue(Reply(tool_calls=[ToolCall("launch", {"count": 4})]))
    tools = [{"type": "function", "function": {"name": "launch", "parameters": {}}}]
    with door.client(door.key()) as client:
        reply = client.post("/v1/chat/completions", json=chat(tools=tools)).json()
    call = reply["choices"][0]["message"]["tool_calls"][0]["function"]
    assert (call["name"], json.loads(call["arguments"])) == ("launch", {"count": 4})


def test_embeddings_and_the_list_of_models(door: Door) -> None:
    with door.client(door.key()) as client:
        reply = client.post("/v1/embeddings", json={"model": "fake:embed", "input": ["a", "b"]})
        assert len(reply.json()["data"]) == 2
        names = [model["id"] for model in client.get("/v1/models").json()["data"]]
        assert "local:smollm2" in names
        assert client.get("/v1/models/local:smollm2").json()["id"] == "local:smollm2"
        assert error(client.get("/v1/models/none"))[:2] == (404, "model_not_found")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ("{", "invalid_json", None),
        ("[]", "invalid_json", None),
        ('{"messages": []}', "invalid_value", "model"),
        ('{"model": "fake:small"}', "invalid_value", "messages"),
        ('{"model": "fake:small", "messages": []}', "invalid_value", "messages"),
        ('{"model": "fake:small", "messages": [3]}', "invalid_value", "messages[0]"),
        ('{"model": "fake:small", "messages": [{}]}', "invalid_value", "messages[0].role"),
        (json.dumps(chat(n=0)), "invalid_value", "n"),
        (json.dumps(chat(max_tokens=0)), "invalid_value", "max_tokens"),
        (json.dumps(chat(max_tokens=True)), "invalid_value", "max_tokens"),
        (json.dumps(chat(stream="yes")), "invalid_value", "stream"),
        (json.dumps(chat(temperature=3)), "invalid_value", "temperature"),
    ],
)
def test_bad_input_is_refused_at_the_door_with_its_field(
    door: Door, fake: FakeProvider, body: str, code: str, param: str | None
) -> None:
    with door.client(door.key()) as client:
        assert error(client.post("/v1/chat/completions", content=body)) == (400, code, param)
    assert not fake.requests
    assert [span.status for span in door.spans()] == [Status.REFUSED]


def test_keys_are_needed_limited_and_revoked_at_once(door: Door) -> None:
    with httpx2.Client(base_url=door.url) as client:
        assert error(client.post("/v1/chat/completions", json=chat()))[:2] == (
            401, "missing_api_key",
        )  # fmt: skip
        wrong = {"authorization": "Bearer noria-wrong"}
        assert error(client.post("/v1/chat/completions", json=chat(), headers=wrong))[0] == 401
    with door.client(door.key(models=["fake:other", "local:*"])) as client:
        refused = client.post("/v1/chat/completions", json=chat())
        assert error(refused) == (403, "model_not_allowed", "model")
        assert "fake:other" in refused.json()["error"]["message"]
    secret = door.key()
    with door.client(secret) as client, door.database() as db:
        from noria.store import list_keys, revoke_key

        assert client.post("/v1/chat/completions", json=chat()).status_code == 200
        newest = max(list_keys(db), key=lambda key: key.serial)
        revoke_key(db, newest.id)
        for _ in range(3):  # however well the door remembers it
            assert error(client.post("/v1/chat/completions", json=chat()))[:2] == (
                401, "revoked_api_key",
            )  # fmt: skip


def test_an_unknown_model_names_the_near_ones(door: Door) -> None:
    with door.client(door.key()) as client:
        refused = client.post("/v1/chat/completions", json=chat(model="local:smolm2"))
    assert error(refused) == (404, "model_not_found", "model")
    assert "local:smollm2" in refused.json()["error"]["message"]


def test_a_failing_target_is_retried_and_then_another_answers(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    door = new_door(ROUTES)
    fake.by_model["first"] = Reply(status=500)
    fake.by_model["second"] = Reply(text="From the second.")
    with door.client(door.key(budget="1 USD/day")) as client:
        reply = client.post("/v1/chat/completions", json=chat(model="fast"))
        assert reply.status_code == 200
        assert reply.headers["x-noria-model"] == "fake:second"
        assert [seen.body["model"] for seen in fake.requests] == ["first", "first", "second"]
        (span,) = door.spans()
        assert (span.status, span.attempts, span.target) == (Status.OK, 3, "fake:second")
        fake.forget()
        for _ in range(3):  # the breaker of the first opens after its third failure
            assert client.post("/v1/chat/completions", json=chat(model="fast")).status_code == 200
        assert [seen.body["model"] for seen in fake.requests].count("first") == 1
        fake.by_model["first"] = Reply(text="Well again.")
        answers = lambda: client.post("/v1/chat/completions", json=chat(model="fast")).headers  # noqa: E731
        wait_until(lambda: answers()["x-noria-model"] == "fake:first", 10)


def test_nothing_is_retried_once_bytes_have_reached_the_caller(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    door = new_door(ROUTES)
    fake.by_model["first"] = Reply(text="one two three four", fault=Fault.RESET_MID_STREAM)
    with (
        door.client(door.key()) as client,
        client.stream(
            "POST", "/v1/chat/completions", json=chat(model="fast", stream=True)
        ) as reply,
    ):
        lines = [line for line in reply.iter_lines() if line]
    assert json.loads(lines[-1][6:])["error"]["code"] == "upstream_reset"
    assert len(fake.requests) == 1
    (span,) = door.spans()
    assert (span.status, span.error_code) == (Status.ERROR, "upstream_reset")
    assert span.cost_nano > 0


def test_a_budget_needs_a_price_and_a_bound(new_door: Callable[..., Door]) -> None:
    door = new_door(PRICES)
    with door.client(door.key(budget="1 USD/day")) as client:
        unpriced = client.post("/v1/chat/completions", json=chat(model="fake:unknown"))
        assert error(unpriced)[:2] == (403, "price_unknown")
        assert 'prices."fake:unknown"' in unpriced.json()["error"]["message"]
        image = [{"type": "image_url", "image_url": {"url": "http://example.invalid/x.png"}}]
        body = {"model": MODEL, "messages": [{"role": "user", "content": image}]}
        assert error(client.post("/v1/chat/completions", json=body)) == (
            400, "unbounded_cost", "messages[0].content",
        )  # fmt: skip
        assert error(client.post("/v1/chat/completions", json=chat(service_tier="priority"))) == (
            400, "unbounded_cost", "service_tier",
        )  # fmt: skip


def test_a_reply_is_shortened_to_what_the_budget_can_pay(door: Door, fake: FakeProvider) -> None:
    with door.client(door.key(budget="0.3 USD/day")) as client:
        reply = client.post("/v1/chat/completions", json=chat(max_tokens=5000))
        assert reply.status_code == 200
        sent = fake.requests[-1].body
        assert sent["max_tokens"] < 300
        assert "max_completion_tokens" not in sent


def test_rate_and_concurrency_limits(door: Door, fake: FakeProvider) -> None:
    with door.client(door.key(rpm=2)) as client:
        codes = [client.post("/v1/chat/completions", json=chat()).status_code for _ in range(3)]
        assert codes == [200, 200, 429]
        refused = client.post("/v1/chat/completions", json=chat())
        assert error(refused)[1] == "rate_limit_requests"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
    with door.client(door.key(tpm=30)) as client:
        client.post("/v1/chat/completions", json=chat("word " * 10))
        refused = client.post("/v1/chat/completions", json=chat("word " * 10))
        assert error(refused)[1] == "rate_limit_tokens"
    with door.client(door.key(concurrency=1)) as client:
        fake.queue(Reply(text="word " * 50, chunks=50, delay=0.1))
        with client.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as running:
            pieces = running.iter_bytes()
            next(pieces)
            refused = client.post("/v1/chat/completions", json=chat())
            assert error(refused)[1] == "concurrency_limit"
        wait_until(lambda: client.post("/v1/chat/completions", json=chat()).status_code == 200, 10)


def test_a_client_that_hangs_up_stops_the_upstream_and_pays_for_what_came(
    door: Door, fake: FakeProvider
) -> None:
    fake.queue(Reply(text="word " * 200, chunks=200, delay=0.05))
    with (
        door.client(door.key(budget="10 USD/day")) as client,
        client.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as reply,
    ):
        pieces = reply.iter_bytes()
        for _ in range(5):
            next(pieces)
    wait_until(lambda: fake.requests[-1].hung_up, 10)
    wait_until(lambda: door.spans()[0].status is Status.CANCELLED, 10)
    (span,) = door.spans()
    assert span.output_tokens is not None
    assert 1 <= span.output_tokens < 200
    assert span.cost_nano == (span.input_tokens or 0) * NANO_PER_TOKEN + (
        span.output_tokens * NANO_PER_TOKEN
    )


def test_content_is_not_kept_where_recording_is_off(door: Door) -> None:
    from noria.store import find_trace

    with door.client(door.key(record_content=False)) as client:
        trace = client.post("/v1/chat/completions", json=chat("canary")).headers["x-noria-trace"]
    door.spans()
    with door.database() as db:
        (found,) = find_trace(db, trace)
    assert (found.request, found.response) == (None, None)
    assert found.span.input_tokens


def test_health_metrics_and_other_addresses(door: Door) -> None:
    with httpx2.Client(base_url=door.url) as client:
        assert client.get("/health").json()["status"] == "ok"
        with door.client(door.key(team="very-secret-team")) as caller:
            caller.post("/v1/chat/completions", json=chat())
        door.spans()
        text = client.get("/metrics").text
        assert 'noria_calls_total{kind="chat",model="fake:small"} 1.0' in text
        assert "very-secret-team" not in text
        assert error(client.get("/v1/nothing"))[:2] == (401, "missing_api_key")
        with door.client(door.key()) as caller:
            assert error(caller.get("/v1/nothing"))[:2] == (404, "unknown_url")
        assert error(client.get("/v1/chat/completions"))[:2] == (405, "method_not_allowed")
