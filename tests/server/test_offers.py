"""What is at the door beside calls: models in each dialect, what is not offered, who is asking."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest

from noria.testing import FakeProvider, Reply
from noria.types import Usage
from tests.support.door import Door, bearer

NOT_OFFERED = (
    ("/v1/audio/speech", "audio"), ("/v1/responses/compact", "compaction"), ("/v1/files", "files"),
    ("/v1/batches", "batches"), ("/v1/realtime", "realtime"), ("/v1/messages/batches", "batches"),
    ("/v1beta/files", "files"), ("/upload/v1beta/files", "files"),
    ("/v1beta/models/small:embedContent", "embedContent"),
)  # fmt: skip


def test_what_is_not_offered_is_said_in_the_dialect(new_door: Callable[..., Door]) -> None:
    door = new_door()
    secret = door.key()
    for path, what in NOT_OFFERED:
        answer = httpx2.post(f"{door.url}{path}", json={}, headers=bearer(secret))
        assert answer.status_code == 404, path
        told = answer.json()
        assert "noria does not offer" in told["error"]["message"]
        assert what in told["error"]["message"]
        if "beta" in path:
            assert told["error"]["status"] == "NOT_FOUND"
        elif "messages" in path:
            assert told["error"]["type"] == "not_found_error"
        else:
            assert told["error"]["code"] == "not_offered"


def test_models_are_listed_in_each_dialect(new_door: Callable[..., Door]) -> None:
    door = new_door('[models.wise]\ntargets = ["fake:small"]\n')
    secret = door.key()
    openai = httpx2.get(f"{door.url}/v1/models", headers=bearer(secret)).json()
    assert openai["object"] == "list"
    assert "wise" in [model["id"] for model in openai["data"]]
    assert openai["models"] == openai["data"]
    headers = {"x-api-key": secret, "anthropic-version": "2023-06-01"}
    claude = httpx2.get(f"{door.url}/v1/models?limit=1000", headers=headers).json()
    ids = [model["id"] for model in claude["data"]]
    assert "claude/wise" in ids
    assert all("claude" in name for name in ids)
    assert claude["has_more"] is False
    google = httpx2.get(f"{door.url}/v1beta/models?key={secret}").json()
    assert "models/wise" in [model["name"] for model in google["models"]]


def test_an_alias_of_the_list_can_be_called(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    door = new_door('[models.wise]\ntargets = ["fake:small"]\n')
    body = {
        "model": "claude/wise", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]
    }  # fmt: skip
    answer = httpx2.post(
        f"{door.url}/v1/messages", json=body, headers={"x-api-key": door.key(models=["wise"])}
    )
    assert answer.status_code == 200, answer.text
    assert fake.requests[0].body["model"] == "small"


def test_an_agents_session_is_one_trace(new_door: Callable[..., Door], fake: FakeProvider) -> None:
    """Its calls stand below the session, those of a subagent below that one; another key with the
    same session's name reaches nothing of it."""
    door = new_door()
    fake.reply = Reply(text="Well.", usage=Usage(10, 2))
    body = {
        "model": "fake:small", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]
    }  # fmt: skip
    session = {"x-claude-code-session-id": "5f0c"}
    subagent = session | {"x-claude-code-agent-id": "a1"}
    below = session | {"x-claude-code-agent-id": "a2", "x-claude-code-parent-agent-id": "a1"}
    first, second = door.key(team="a"), door.key(team="b")
    for secret, headers in (
        (first, session), (first, session), (first, subagent), (first, below), (second, session)
    ):  # fmt: skip
        answer = httpx2.post(
            f"{door.url}/v1/messages", json=body, headers={"x-api-key": secret, **headers}
        )
        assert answer.status_code == 200, answer.text
    spans = door.spans(team="a")
    assert len({span.trace_id for span in spans}) == 1
    by_id = {span.id: span for span in spans}
    calls = sorted((span for span in spans if span.kind == "chat"), key=lambda one: one.started_ns)
    depths = []
    for span in calls:
        depth, above = 0, span.parent_id
        while above is not None:
            depth, above = depth + 1, by_id[above].parent_id
        depths.append(depth)
    assert depths == [1, 1, 2, 3]
    assert sum(span.kind == "step" for span in spans) == 3
    assert {span.app for span in spans} == {"claude"}
    assert door.spans(team="b")[0].trace_id != spans[0].trace_id


def test_a_login_of_ones_own_reaches_the_provider_and_no_other(
    new_door: Callable[..., Door], fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATIVE_KEY", "sk-of-noria")
    door = new_door(
        f'[providers.native]\nbase_url = "{fake.url}"\nwire = "messages"\n'
        'api_key_env = "NATIVE_KEY"\n'
    )
    secret = door.key(team="own")
    body = {
        "model": "native:large", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]
    }  # fmt: skip
    headers = {"x-noria-key": secret, "authorization": "Bearer oauth-of-a-person"}
    for model in ("native:large", "fake:small"):
        answer = httpx2.post(
            f"{door.url}/v1/messages", json=body | {"model": model}, headers=headers
        )
        assert answer.status_code == 200, answer.text
    own, other = fake.requests
    assert own.headers["authorization"] == "Bearer oauth-of-a-person"
    assert "x-api-key" not in own.headers
    assert "authorization" not in other.headers  # it speaks another dialect: nobody's login
    assert secret not in str(own.headers) + str(other.headers)
    assert len(door.spans(team="own")) == 2


def test_what_is_kept_elsewhere_is_refused_by_name(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    door = new_door()
    body = {"model": "fake:small", "input": "And then?", "previous_response_id": "resp_1"}
    answer = httpx2.post(f"{door.url}/v1/responses", json=body, headers=bearer(door.key()))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "previous_response_id"
    assert fake.requests == []


def test_documents_are_ranked_where_a_provider_does(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    door = new_door(f'[providers.native]\nbase_url = "{fake.url}"\nwire = "messages"\n')
    body = {"query": "wheels", "documents": ["a wheel", "a door"]}
    for model, status, code in (
        ("local:minilm", 404, "not_offered"), ("native:large", 400, "cannot_be_translated"),
        ("fake:small", 404, "not_found"),  # as this provider itself answers
    ):  # fmt: skip
        answer = httpx2.post(
            f"{door.url}/v1/rerank", json=body | {"model": model}, headers=bearer(door.key())
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text


def test_a_websocket_is_told_to_post(new_door: Callable[..., Door]) -> None:
    door = new_door()
    headers = {**bearer(door.key()), "upgrade": "websocket", "sec-websocket-key": "x"}
    answer = httpx2.get(f"{door.url}/v1/responses", headers=headers)
    assert answer.status_code == 426


def test_tokens_are_counted(new_door: Callable[..., Door]) -> None:
    door = new_door()
    secret = door.key()
    body = {"model": "fake:small", "messages": [{"role": "user", "content": "word " * 400}]}
    counted = httpx2.post(
        f"{door.url}/v1/messages/count_tokens", json=body, headers={"x-api-key": secret}
    )
    assert counted.status_code == 200
    assert 300 < counted.json()["input_tokens"] < 2100
    google = httpx2.post(
        f"{door.url}/v1beta/models/fake:small:countTokens",
        json={"contents": [{"parts": [{"text": "word " * 400}]}]},
        headers={"x-goog-api-key": secret},
    )
    assert 300 < google.json()["totalTokens"] < 2100
    assert door.spans() == []
