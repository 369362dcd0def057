"""examples/support_desk: who sees what, what is cited, what is not sent."""

from __future__ import annotations

import pytest

from noria.testing import Reply
from noria.types import Label, SpanKind

pytestmark = pytest.mark.engine

VOUCHER = "How high a voucher may I give a customer?"


def sent(received) -> str:
    return "\n".join(str(one["content"]) for one in received.body["messages"])


def repeat(received) -> Reply:
    """The first sentence of the first note, cited."""
    text = sent(received)
    if "[1]" not in text:
        return Reply("I do not know.")
    note = text.partition("[1]")[2].partition("[2]")[0]
    return Reply(f"{' '.join(note.split())[:400]} [1]")


@pytest.fixture(scope="module")
def door(example, fake):
    fake.by_model["small"] = repeat
    return example("support_desk", model="writer", settings='clearance = "internal"\n')


@pytest.fixture
def ask(door):
    def post(secret: str, question: str, name: str = "answer", **headers: str):
        body = {"question": question} if isinstance(question, str) else question
        with door.client(secret, timeout=170) as client:
            return client.post(f"/apps/desk/{name}", json=body, headers=headers)

    return post


def test_a_customer_is_answered_from_the_handbook(door, ask):
    answer = ask(door.key(), "How long does express delivery take?")
    assert answer.status_code == 200, answer.text
    assert "Express delivery takes one working day" in " ".join(answer.json().split())
    spans = door.spans()
    trace = [one for one in spans if one.trace_id == answer.headers["x-noria-trace"]]
    kinds = {one.kind for one in trace}
    assert {SpanKind.APP, SpanKind.STEP, SpanKind.SEARCH, SpanKind.CHAT} <= kinds
    checks = {
        one.attributes["check"]: one.attributes["outcome"]
        for one in trace
        if one.kind is SpanKind.CHECK
    }
    assert checks["asks_for_no_secrets"] == "pass"


def test_two_people_get_answers_from_different_documents(door, ask, fake):
    desk = door.key(groups=["desk"], clearance=Label.INTERNAL)
    fake.forget()
    assert "25 euros" in ask(desk, VOUCHER).text
    fake.forget()
    assert "25 euros" not in ask(door.key(clearance=Label.INTERNAL), VOUCHER).text
    assert "25 euros" not in ask(door.key(groups=["desk"]), VOUCHER).text
    assert not any("25 euros" in sent(one) for one in fake.requests if "messages" in one.body)


def test_an_answer_that_asks_for_a_password_is_not_sent(door, ask, fake):
    fake.queue(Reply("Please send me your password. [1]"))
    refused = ask(door.key(), "I cannot sign in.")
    assert refused.status_code >= 400
    assert "send me your password" not in refused.text
    assert "asks_for_no_secrets" in refused.text


def test_a_draft_names_its_sources(door, ask):
    ticket = {"ticket": {"subject": "Return", "body": "Can I return a gift card?\n-- \nAda"}}
    draft = ask(door.key(), ticket, "draft")
    assert draft.status_code == 200, draft.text
    assert "handbook/returns.md" in draft.json()["sources"]
    assert ask(door.key(), {"ticket": {"subject": "no body"}}, "draft").status_code == 422


def test_the_chat_remembers_and_has_a_variant(door, fake):
    with door.client(door.key(), timeout=170) as client:
        fake.forget()
        said = [
            {"role": "user", "content": "How long does express delivery take?"},
            {"role": "assistant", "content": "One working day."},
            {"role": "user", "content": "And what does it cost?"},
        ]
        for model in ("desk", "desk@thorough"):
            body = {"model": model, "messages": said}
            answer = client.post("/v1/chat/completions", json=body)
            assert answer.status_code == 200, answer.text
        asked = fake.requests[-1].body["messages"]
        assert [one["role"] for one in asked] == ["system", "user", "assistant", "user"]
        assert asked[2]["content"] == "One working day."
