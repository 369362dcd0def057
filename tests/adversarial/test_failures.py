"""Failures as real providers tell them: they keep their words and their meaning."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.adversarial.conftest import Attack
from tests.adversarial.test_answers import piece, reply
from tests.support.raw import answer, stream

BODIES: dict[str, tuple[Any, str]] = {
    "OpenAI": ({"error": {"message": "Bad thing", "type": "t", "code": "c7"}}, "c7"),
    "text": ({"error": "Bad thing"}, ""),
    "a list": ([{"error": {"code": 400, "message": "Bad thing", "status": "INVALID_ARGUMENT"}}],
               "INVALID_ARGUMENT"),
    "no error around": ({"object": "error", "message": "Bad thing", "code": "3230"}, "3230"),
    "a number": ({"object": "error", "message": "Bad thing", "code": 40303}, "40303"),
    "Cohere": ({"id": "x", "message": "Bad thing"}, ""),
    "Bedrock": ({"__type": "ValidationException", "Message": "Bad thing"}, "ValidationException"),
    "FastAPI": ({"detail": "Bad thing"}, ""),
    "FastAPI's list": ({"detail": [{"loc": ["body", "x"], "msg": "Bad thing", "type": "y"}]}, ""),
    "nested": ({"error": {"message": {"detail": [{"loc": ["body", "x"], "msg": "Bad thing"}]}}},
               ""),
    "an error in an error": ({"error": {"error": {"message": "Bad thing", "code": "c7"}}}, "c7"),
    "several": ({"errors": [{"message": "Bad thing", "code": 7003}]}, "7003"),
    "several texts": ({"errors": ["Bad thing"]}, ""),
    "Anthropic": ({"type": "error", "error": {"type": "overload_x", "message": "Bad thing"}},
                  "overload_x"),
    "OAuth": ({"error": "invalid_request", "error_description": "Bad thing"}, "invalid_request"),
    "problem+json": ({"title": "Bad Request", "status": 400, "detail": "Bad thing"}, ""),
    "JSON in a text": ({"error": {"message": json.dumps({"error": {"message": "Bad thing"}})}}, ""),
    "a router": ({"error": {"code": 400, "message": "Provider returned error",
                            "metadata": {"raw": '{"error": "Bad thing"}'}}}, ""),
    "plain text": (b"Bad thing", ""),
    "a page": (b"<html><head><title>Bad thing</title></head><body>x</body></html>", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_refusal_is_passed_on_in_its_words_and_once(
    attack: Attack, name: str, status: int
) -> None:
    body, code = BODIES[name]
    told = attack.ask(answer(body, status))
    assert told.status == status
    assert "Bad thing" in told.error["message"]
    assert told.error["code"] == (code or "upstream_refused_request")
    assert told.asked == 1
    assert told.headers["x-should-retry"] == "false"
    assert told.span is not None
    assert told.span.status == "error"
    assert told.span.cost_nano == 0


@pytest.mark.parametrize("name", BODIES)
def test_a_servers_failure_keeps_its_words(attack: Attack, name: str) -> None:
    told = attack.ask(answer(BODIES[name][0], 500))
    if BODIES[name][1] in ("ValidationException", "invalid_request"):
        assert (told.status, told.asked) == (400, 1)  # the call's own fault, whatever the status
    else:
        assert (told.status, told.error["code"]) == (502, "upstream_error")
        assert told.asked == 3
    assert "Bad thing" in told.error["message"]
    assert told.headers["x-should-retry"] == "false"


FLAGGED = {"error": {"code": 403, "message": "Your input was flagged",
                     "metadata": {"reasons": ["violence"]}}}  # fmt: skip
CALLERS = {
    "flagged": answer(FLAGGED, 403),
    "filtered": answer({"error": {"code": "content_filter", "message": "policy"}}, 400),
    "no credit": answer({"error": {"code": 402, "message": "Requires more credits"}}, 402),
    "too long": answer({"error": {"code": "context_length_exceeded", "message": "long"}}, 400),
    "too long, as a 500": answer(
        {"error": {"code": "context_length_exceeded", "message": "long"}}, 500
    ),
    "no quota": answer({"error": {"code": "insufficient_quota", "message": "no quota"}}, 429),
}


@pytest.mark.parametrize("name", CALLERS)
def test_what_a_caller_does_wrong_hurts_nobody_else(attack: Attack, name: str) -> None:
    bad = CALLERS[name]
    model = attack.model(
        lambda body: bad if "bad" in body["messages"][0]["content"] else answer(reply())
    )
    for _ in range(5):
        with attack.door.client(attack.key) as client:
            refused = client.post(
                "/v1/chat/completions",
                json={"model": model, "messages": [{"role": "user", "content": "bad"}]},
            )
        assert 400 <= refused.status_code < 500
        assert refused.json()["error"]["message"]
    assert attack.raw.asked[model.removeprefix("raw:")] == 5
    assert attack.ask(model).status == 200


def test_noria_s_own_key_is_its_own_affair(attack: Attack) -> None:
    for body in ({"error": {"message": "Incorrect API key provided: sk-secret"}}, b""):
        told = attack.ask(answer(body, 403))
        assert (told.status, told.error["code"]) == (502, "upstream_credentials")
        assert "sk-secret" not in told.error["message"]


def test_a_quota_is_not_asked_again(attack: Attack) -> None:
    error = {"message": "You exceeded your current quota", "type": "insufficient_quota",
             "code": "insufficient_quota"}  # fmt: skip
    told = attack.ask(answer({"error": error}, 429))
    assert (told.status, told.asked) == (429, 1)
    assert told.error["message"] == "You exceeded your current quota"
    assert told.error["code"] == told.error["type"] == "insufficient_quota"
    assert int(told.headers["retry-after"]) > 120
    assert told.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("after", ["3600", "1e400", "Fri, 31 Dec 2999 23:59:59 GMT"])
def test_who_asks_for_more_patience_than_there_is_is_left_at_once(
    attack: Attack, after: str
) -> None:
    attack.raw.answers["first"] = answer({"error": {"message": "daily"}}, 429, retry_after=after)
    before = attack.raw.asked["first"]
    began = time.monotonic()
    with attack.door.client(attack.key) as client:
        found = client.post(
            "/v1/chat/completions",
            json={"model": "route", "messages": [{"role": "user", "content": "Hi"}]},
        )
    assert found.headers["x-noria-model"] == "fake:small"
    assert attack.raw.asked["first"] == before + 1
    assert time.monotonic() - began < 15  # no pause of the twenty seconds that noria would wait
    assert attack.ask(attack.raw.answers["first"]).asked == 1


@pytest.mark.parametrize("after", ["nan", "-5", "soon", "0"])
def test_a_pause_that_is_none_is_none(attack: Attack, after: str) -> None:
    told = attack.ask(answer({"error": {"message": "busy now"}}, 429, retry_after=after))
    assert (told.status, told.asked) == (429, 3)
    assert "busy now" in told.error["message"]
    assert told.headers["x-should-retry"] == "false"


IN_ANSWERS = {
    "an error": {"error": {"code": 502, "message": "overloaded"}, "user_id": "u"},
    "a text": {"error": "overloaded"},
    "with choices": {"choices": [], "error": {"message": "overloaded"}},
    "in a choice": {"choices": [{"error": {"message": "overloaded"}, "message": None}]},
    "an object": {"object": "error", "message": "overloaded"},
}


@pytest.mark.parametrize("name", IN_ANSWERS)
@pytest.mark.parametrize("streaming", [False, True])
def test_an_error_in_an_answer_is_a_failure(attack: Attack, name: str, streaming: bool) -> None:
    told = attack.ask(answer(IN_ANSWERS[name]), stream=streaming)
    assert told.status == 502
    assert "overloaded" in told.error["message"]
    assert told.asked == 3
    assert told.span is not None
    assert (told.span.status, told.span.cost_nano) == ("error", 0)
    attack.raw.answers["first"] = answer(IN_ANSWERS[name])
    with attack.door.client(attack.key) as client:
        found = client.post(
            "/v1/chat/completions",
            json={"model": "route", "messages": [{"role": "user", "content": "Hi"}]},
        )
    assert found.headers["x-noria-model"] == "fake:small"


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b'"text"', b'{"choices": null}', b"7"])
def test_what_holds_no_answer_is_none(attack: Attack, body: bytes) -> None:
    told = attack.ask(answer(body))
    assert (told.status, told.error["code"]) == (502, "upstream_malformed")


CALLED = {"message": "Failed to call a function.", "type": "invalid_request_error",
          "code": "tool_use_failed", "status_code": 400}  # fmt: skip


def test_an_error_that_a_stream_begins_with_is_the_answer(attack: Attack) -> None:
    told = attack.ask(stream(b"event: error\ndata: " + json.dumps({"error": CALLED}).encode()))
    assert (told.status, told.asked) == (400, 1)
    assert told.error["message"] == "Failed to call a function."
    assert told.error["code"] == "tool_use_failed"


FILTER = {"message": "Filtered by policy X", "type": "content_filter", "code": "content_filter"}
MIDST = {
    "alone": {"error": FILTER},
    "with choices": {**piece({"content": ""}, "error"), "error": FILTER},
    "in a choice": {"choices": [{"index": 0, "delta": {}, "error": FILTER}]},
    "a list": [{"error": FILTER}],
    "as an event": b"event: error\ndata: " + json.dumps({"error": FILTER}).encode(),
}


@pytest.mark.parametrize("name", MIDST)
@pytest.mark.parametrize("parts", [1, 30])
def test_an_error_in_mid_stream_keeps_its_message(attack: Attack, name: str, parts: int) -> None:
    told = attack.ask(stream(*[piece({"content": "Hel"})] * parts, MIDST[name]))
    assert told.span is not None
    assert told.span.status == "error"
    assert "Filtered by policy X" in str(told.span.error)
    assert "Filtered by policy X" in told.error["message"]
    assert told.error["code"] == "content_filter"
    assert told.asked == 1


def test_a_finish_that_is_an_error_is_never_ok(attack: Attack) -> None:
    told = attack.ask(stream(piece({"content": "Hel"}), piece({}, "error")))
    assert told.span is not None
    assert told.span.status == "error"
