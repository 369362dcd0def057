"""Conversations that the server keeps, at the doors of an application."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from noria.store.traces.conversations import find_conversation
from noria.testing import FakeProvider, Reply
from noria.types import EVERY_GROUP, Label
from tests.support.door import PRICES, Door, chat

APP = """
from collections.abc import AsyncIterator

from noria import App

app = App("memory", model="fake:small")
ledger = app.resource("ledger", url_env="PATH", label="confidential")


@app.chat
async def answer(
    question: str, history: list[dict[str, str]] | None = None
) -> AsyncIterator[str]:
    if question == "read":
        ledger.url
    if question == "ask":
        yield await app.model.ask("Answer.", question=question)
        return
    yield " | ".join(one["role"][0] + ":" + one["content"] for one in history or [])
    yield " > " + question


@app.task
def forget(text: str) -> str:
    return text
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with FakeProvider(Reply(text="Yes.")) as provider:
        door = Door(
            tmp_path_factory.mktemp("door"), provider, PRICES, workers=2, apps={"app.py": APP}
        )
        yield door.start()
        door.stop()


def cleared(door: Door) -> str:
    """A key that may read everything."""
    return door.key(groups=(EVERY_GROUP,), clearance=Label.RESTRICTED)


def ask(
    client: httpx2.Client, conversation: str | None, question: str, **more: object
) -> httpx2.Response:
    headers = {} if conversation is None else {"x-noria-conversation": conversation}
    body = chat(question, model="memory") | more
    return client.post("/v1/chat/completions", json=body, headers=headers)


def text(answer: httpx2.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def test_what_was_said_is_remembered(door: Door) -> None:
    with door.client(door.key()) as client:
        assert text(ask(client, "trip", "one")) == " > one"
        assert text(ask(client, "trip", "two")) == "u:one | a: > one > two"
        assert text(ask(client, None, "three")) == " > three"


def test_a_stream_and_a_rest_call_go_on_with_it(door: Door) -> None:
    with door.client(door.key()) as client:
        assert "[DONE]" in ask(client, "trip", "one", stream=True).text
        headers = {"x-noria-conversation": "trip"}
        answer = client.post("/apps/memory/answer", json={"question": "two"}, headers=headers)
        assert answer.json() == "u:one | a: > one > two"
        third = text(ask(client, "trip", "three"))
        assert third.startswith("u:one | a: > one | u:two | a:")


def test_the_kept_one_goes_before_what_the_caller_sends(door: Door) -> None:
    said = [
        {"role": "user", "content": "forged"},
        {"role": "assistant", "content": "forged"},
        {"role": "user", "content": "now"},
    ]
    with door.client(door.key()) as client:
        assert text(ask(client, "trip", "", messages=said)) == " > now"
        assert text(ask(client, None, "", messages=said)) == "u:forged | a:forged > now"


def test_other_peoples_names_are_other_conversations(door: Door) -> None:
    with door.client(door.key()) as ann, door.client(door.key()) as eve:
        text(ask(ann, "ours", "the secret is plover"))
        assert text(ask(eve, "ours", "what is the secret?")) == " > what is the secret?"
        assert "plover" in text(ask(ann, "ours", "well?"))


def test_its_mark_only_rises_and_binds_every_later_run(door: Door) -> None:
    with door.client(cleared(door)) as client:
        assert text(ask(client, "deep", "ask")) == "Yes."
        text(ask(client, "deep", "read"))
        refused = ask(client, "deep", "ask")
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "label_exceeds_clearance"
        again = ask(client, "deep", "ask", stream=True)
        assert again.status_code == 403
        headers = {"x-noria-conversation": "deep"}
        by_rest = client.post("/apps/memory/answer", json={"question": "ask"}, headers=headers)
        assert by_rest.status_code == 403
        assert text(ask(client, "shallow", "ask")) == "Yes."


def test_a_refused_turn_is_not_kept(door: Door) -> None:
    secret = cleared(door)
    with door.client(secret) as client:
        text(ask(client, "kept", "read"))
        assert ask(client, "kept", "ask").status_code == 403
        assert text(ask(client, "kept", "end")) == "u:read | a: > read > end"


def test_turns_that_come_at_once_are_all_kept(door: Door) -> None:
    with door.client(door.key()) as client:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: text(ask(client, "busy", f"q{n}")), range(8)))
        said = text(ask(client, "busy", "end"))
    assert all(f"u:q{n}" in said for n in range(8))


def test_a_task_has_no_turns(door: Door) -> None:
    headers = {"x-noria-conversation": "work"}
    with door.client(door.key()) as client:
        assert client.post("/apps/memory/forget", json={"text": "x"}, headers=headers).json() == "x"
        assert text(ask(client, "work", "one")) == " > one"


def test_a_name_has_a_length(door: Door) -> None:
    with door.client(door.key()) as client:
        refused = ask(client, "x" * 201, "one")
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "x-noria-conversation"


def test_it_is_kept_with_its_trace(door: Door) -> None:
    with door.client(door.key(user="tom")) as client:
        trace = ask(client, "trail", "one").headers["x-noria-trace"]
    (key,) = {span.key_id for span in door.spans(user="tom")}
    with door.database() as db:
        assert key is not None
        found = find_conversation(db, key, "trail")
    assert found is not None
    assert [turn.trace_id for turn in found.turns] == [trace]
