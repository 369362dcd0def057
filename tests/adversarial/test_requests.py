"""Requests whose fields a model refuses, or that hold more bytes than tokens."""

from __future__ import annotations

import base64
from typing import Any

import httpx2
import pytest

from tests.adversarial.conftest import Attack, Told
from tests.adversarial.test_answers import piece, reply
from tests.support.door import chat
from tests.support.raw import answer, stream


def refusing(*rules: tuple[str, Any, str, str | None], code: str = "unsupported_parameter") -> Any:
    """A model that refuses fields, one after the other: a name, the one value that is allowed, the
    message, and the name that the error gives."""

    def rule(body: dict[str, Any]) -> bytes:
        for name, allowed, message, param in rules:
            if name in body and body[name] != allowed:
                error = {"message": message, "param": param, "code": code}
                return answer({"error": error}, 400)
        if body.get("stream"):
            return stream(piece({"content": "Fine"}), piece({}, "stop"))
        return answer(reply("Fine"))

    return rule


TEMPERATURE = ("temperature", 1, "temperature: only the default (1) is supported", "temperature")
LIMIT = ("max_tokens", None, "max_tokens is not supported, use max_completion_tokens", "max_tokens")


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("named", [True, False])
def test_a_refusal_is_learned_from_once(attack: Attack, streaming: bool, named: bool) -> None:
    rules = [rule if named else (*rule[:3], None) for rule in (TEMPERATURE, LIMIT)]
    model = attack.model(refusing(*rules))
    told = attack.ask(model, stream=streaming, temperature=0, max_tokens=9)
    assert (told.status, told.asked, told.text) == (200, 3, "Fine")
    sent = attack.raw.bodies[model.removeprefix("raw:")][-1]
    assert sent["max_completion_tokens"] == 9
    assert "max_tokens" not in sent
    assert "temperature" not in sent
    assert told.span is not None
    adapted = {"temperature": None, "max_tokens": "max_completion_tokens"}
    assert told.span.attributes["adapted"] == adapted
    again = attack.ask(model, stream=streaming, temperature=0, max_tokens=9)
    assert (again.status, again.asked) == (200, 1)
    plain = attack.ask(model, stream=streaming)
    assert plain.span is not None
    assert "adapted" not in plain.span.attributes


def test_a_limit_is_never_lost(attack: Attack) -> None:
    both = [("max_tokens", None, "max_tokens is not supported", "max_tokens"),
            ("max_completion_tokens", None, "max_completion_tokens is not supported",
             "max_completion_tokens")]  # fmt: skip
    told = attack.ask(attack.model(refusing(*both)), max_tokens=9, key=attack.paying)
    assert (told.status, told.asked) == (400, 2)


@pytest.mark.parametrize(
    "message", ["max_tokens is too large: 99. This model supports at most 9", "tools are wrong"]
)
def test_what_is_wrong_is_not_adapted(attack: Attack, message: str) -> None:
    rule = refusing(("max_tokens", 1, message, None), code="invalid_value")
    told = attack.ask(attack.model(rule), max_tokens=99)
    assert (told.status, told.asked) == (400, 1)
    assert told.error["message"] == message


@pytest.mark.parametrize("name", ["gpt-5-mini", "o3", "o4-mini-2025", "vendor/gpt-5.2"])
def test_models_that_are_known_are_asked_in_their_way_at_once(attack: Attack, name: str) -> None:
    model = attack.model(answer(reply()), name)
    told = attack.ask(model, max_tokens=9)
    assert told.asked == 1
    assert attack.raw.bodies[name][-1]["max_completion_tokens"] == 9
    assert "max_tokens" not in attack.raw.bodies[name][-1]
    assert told.span is not None
    assert told.span.attributes["adapted"] == {"max_tokens": "max_completion_tokens"}


def test_no_limit_goes_to_servers_that_know_it(attack: Attack) -> None:
    attack.raw.answers["any"] = answer(reply())
    with attack.door.client(attack.key) as client:
        taken = client.post("/v1/chat/completions", json=chat(model="lmstudio:any", max_tokens=-1))
        assert taken.status_code == 200
        assert attack.raw.bodies["any"][-1]["max_tokens"] == -1
        for model, limit in (("raw:any", -1), ("lmstudio:any", -2), ("lmstudio:any", 0)):
            refused = client.post("/v1/chat/completions", json=chat(model=model, max_tokens=limit))
            assert refused.status_code == 400
            assert refused.json()["error"]["param"] == "max_tokens"


def test_images_and_sound_are_bounded_by_their_allowance(attack: Attack) -> None:
    """Two megabytes of pictures are a hundred tokens each, and not a million."""
    attack.raw.answers["seeing"] = answer(reply())
    blob = base64.b64encode(b"x" * 1_000_000).decode()
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{blob}"}}
    sound = {"type": "input_audio", "input_audio": {"data": blob, "format": "wav"}}
    message = {"role": "user", "content": [{"type": "text", "text": "What?"}, image, image, sound]}
    body = {"model": "raw:seeing", "messages": [message], "max_tokens": 5}
    # 250 tokens of media, 5 of answer, and the few hundred bytes of the rest.
    with attack.door.client(attack.door.key(budget="0.2 USD/day")) as client:
        refused = client.post("/v1/chat/completions", json=body)
    assert refused.json()["error"]["code"] == "budget_exhausted"
    with attack.door.client(attack.door.key(budget="1 USD/day")) as client:
        taken = client.post("/v1/chat/completions", json=body)
    assert taken.status_code == 200, taken.text


@pytest.mark.parametrize("window", ["day", "week", "month", None])
def test_a_budget_that_is_used_up_says_until_when(attack: Attack, window: str | None) -> None:
    attack.raw.answers["paid"] = answer(reply())
    budget = "0.001 USD" + (f"/{window}" if window else "")
    with attack.door.client(attack.door.key(budget=budget)) as client:
        refused = client.post("/v1/chat/completions", json=chat(model="raw:paid"))
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["code"], error["type"]) == ("budget_exhausted", "insufficient_quota")
    assert "is used up" in error["message"]
    assert refused.headers["x-should-retry"] == "false"
    most = {"day": 1, "week": 7, "month": 31, None: 1}[window]
    assert 0 < int(refused.headers["retry-after"]) <= most * 86400


def test_a_refusal_for_good_says_so(attack: Attack) -> None:
    with attack.door.client(attack.key) as client:
        for body, status in ((chat(model="nobody"), 404), ({"model": "raw:x"}, 400)):
            refused = client.post("/v1/chat/completions", json=body)
            assert refused.status_code == status
            assert refused.headers["x-should-retry"] == "false"


def test_thoughts_of_a_stream_that_is_left_are_charged(attack: Attack) -> None:
    """As rules.py's `slow`: left after forty pieces, about forty tokens are charged."""
    chunk = b'data: {"choices":[{"index":0,"delta":{"reasoning":"word "}}]}\n\n'
    length = len(chunk) * 40 + 10_000_000  # more is promised than comes
    head = f"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\n\r\n"

    def slow(body: dict[str, Any]) -> bytes:
        return head.encode() + chunk * 40

    attack.raw.hold_open.add("slow")
    attack.raw.answers["slow"] = slow
    with (
        attack.door.client(attack.key) as client,
        client.stream(
            "POST", "/v1/chat/completions", json=chat(model="raw:slow", stream=True)
        ) as answered,
    ):
        trace = answered.headers["x-noria-trace"]
        came = b""
        for data in answered.iter_raw():
            came += data
            if came.count(b"word ") >= 40:
                break
    told = Told(200, httpx2.Headers(), None)
    attack.recorded(told, trace)
    assert told.span is not None
    assert told.span.status == "cancelled"
    assert told.span.output_tokens is not None
    assert 35 <= told.span.output_tokens <= 60
    attack.raw.let_go()
