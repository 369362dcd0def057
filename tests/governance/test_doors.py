"""Grants and labels at every door of a running server: the matrix."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from tests.governance.support import (
    CLEARANCES,
    LEDGER,
    PEOPLE,
    STRANGERS,
    Answer,
    Person,
    Providers,
    applications,
    canaries,
    expected,
    providers,
    write_papers,
)  # fmt: skip
from tests.support.door import Door, bearer

ASKED = "the ledger"
PATHS = (
    "direct", "step", "to_thread", "thread", "threads", "process", "nested", "gather", "tool",
    "system", "database", "told", "other",
)  # fmt: skip
FORGED = {
    "x-noria-user": "owner",
    "x-noria-groups": "*,finance,hr",
    "x-noria-clearance": "restricted",
    "x-noria-key": "key_0",
    "x-noria-mark": "public",
    "x-noria-principal": '{"groups": ["*"], "clearance": 3}',
    "x-noria-parent": "0" * 16,
    "x-noria-trace": "f" * 32,
    "x-forwarded-user": "owner",
    "x-admin": "true",
}


@dataclass
class World:
    """A running server with applications, and everybody's keys."""

    door: Door
    providers: Providers
    keys: dict[str, str | None]

    def headers(self, person: Person) -> dict[str, str]:
        secret = self.keys[person.name]
        return bearer(secret) if secret else {}

    def post(self, path: str, body: Any, headers: dict[str, str]) -> Answer:
        reply = httpx2.post(f"{self.door.url}{path}", json=body, headers=headers, timeout=60)
        code = None
        if reply.status_code >= 400:
            code = reply.json()["error"]["code"]
        text = reply.text + json.dumps(dict(reply.headers))
        return Answer(code, text, reply.headers.get("x-noria-trace"), reply.status_code)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("LEDGER", LEDGER.canary)  # which the server's processes inherit
    for running in providers():
        folder = tmp_path_factory.mktemp("doors")
        write_papers(folder)
        door = Door(
            folder, running.by_name["open"], running.settings(), workers=2, apps=applications(),

        ).start()  # fmt: skip
        try:
            yield World(door, running, dict(keys(door)))
        finally:
            door.stop()
            monkeypatch.undo()


def keys(door: Door) -> Iterator[tuple[str, str | None]]:
    from noria.store import list_keys, revoke_key

    for person in PEOPLE:
        yield (
            person.name,
            door.key(
                name=person.name,
                groups=person.groups,
                clearance=person.clearance,
                admin=person.admin,
            ),
        )
    yield "no key", None
    yield "wrong key", "noria-of-nobody"
    secret = door.key(name="revoked", groups=["*"], clearance=max(CLEARANCES.values()))
    with door.database() as db:
        revoke_key(db, next(key.id for key in list_keys(db) if key.name == "revoked"))
    yield "revoked key", secret


Ask = Callable[[World, Person, str, str, dict[str, str]], Answer]


def app_of(model: str) -> str:
    return "desk" if model == "open" else f"desk@{model}"


def by_chat(world: World, person: Person, path: str, model: str, more: dict[str, str]) -> Answer:
    body = {
        "model": app_of(model),
        "messages": [{"role": "user", "content": f"{path} {ASKED}"}],
    }
    return world.post("/v1/chat/completions", body, world.headers(person) | more)


def by_stream(world: World, person: Person, path: str, model: str, more: dict[str, str]) -> Answer:
    body = {
        "model": app_of(model),
        "messages": [{"role": "user", "content": f"{path} {ASKED}"}],
        "stream": True,
    }
    return streamed(world.post("/v1/chat/completions", body, world.headers(person) | more))


def by_rest(world: World, person: Person, path: str, model: str, more: dict[str, str]) -> Answer:
    body = {"question": f"{path} {ASKED}"}
    return world.post(f"/apps/{app_of(model)}/answer", body, world.headers(person) | more)


def by_events(world: World, person: Person, path: str, model: str, more: dict[str, str]) -> Answer:
    assert path == "direct"
    headers = world.headers(person) | {"accept": "text/event-stream"} | more
    return streamed(world.post(f"/apps/{app_of(model)}/streamed", {"question": ASKED}, headers))


def streamed(answer: Answer) -> Answer:
    """A stream is one text: a canary may be cut in two."""
    pieces = []
    for line in answer.text.splitlines():
        if line.startswith("data: {"):
            event = json.loads(line[6:])
            if "error" in event:
                answer.code = event["error"]["code"]
            choices = event.get("choices", ())
            pieces += [choice.get("delta", {}).get("content") or "" for choice in choices]
        elif line.startswith('data: "'):
            pieces.append(json.loads(line[6:]))
    answer.text += "\n" + "".join(pieces)
    return answer


def by_mcp(world: World, person: Person, path: str, model: str, more: dict[str, str]) -> Answer:
    call = {
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {
            "name": f"{app_of(model)}_answer",
            "arguments": {"question": f"{path} {ASKED}"},
            "_meta": {"noria/trace": "f" * 32, "noria/clearance": "restricted"},
        },
    }  # fmt: skip
    accept = {"accept": "application/json, text/event-stream"}
    answer = world.post("/mcp", call, world.headers(person) | accept | more)
    if answer.code is None:
        result = json.loads(answer.text[: answer.text.rindex("}{") + 1])["result"]
        answer.code = (result.get("_meta") or {}).get("noria/code")
        answer.trace = (result.get("_meta") or {}).get("noria/trace")
    return answer


DOORS: dict[str, tuple[Ask, tuple[str, ...]]] = {
    "rest": (by_rest, PATHS),
    "chat": (by_chat, ("direct", "tool", "nested", "system")),
    "stream": (by_stream, ("direct", "thread", "database")),
    "events": (by_events, ("direct",)),
    "mcp": (by_mcp, ("direct", "process", "other")),
}
CELLS = [(door, path) for door, (_, paths) in DOORS.items() for path in paths]


def together(work: list[Callable[[], list[str]]]) -> list[str]:
    """Do all of it, several at the same time: callers must not be mixed up."""
    with ThreadPoolExecutor(8) as pool:
        return [fault for faults in pool.map(lambda one: one(), work) for fault in faults]


@pytest.mark.parametrize(("door", "path"), CELLS, ids=lambda value: str(value))
def test_nothing_crosses(world: World, door: str, path: str) -> None:
    """Everybody asks with every model, at the same time."""
    ask = DOORS[door][0]

    def cell(person: Person, model: str) -> list[str]:
        answer = ask(world, person, path, model, {})
        wanted = expected(person, path, model)
        return [f"{person.name} with {model}: {fault}" for fault in answer.faults(wanted)]

    faults = together(
        [lambda p=person, m=model: cell(p, m) for person in PEOPLE for model in CLEARANCES]
    )
    faults += world.providers.leaks()
    assert not faults, "\n".join(faults[:20])


@pytest.mark.parametrize("door", DOORS)
def test_strangers_are_told_nothing(world: World, door: str) -> None:
    ask = DOORS[door][0]
    for person in STRANGERS:
        for headers in ({}, FORGED):
            answer = ask(world, person, "direct", "safe", headers)
            assert answer.status == 401, (person.name, answer.text)
            assert not canaries(answer.text)


@pytest.mark.parametrize("door", DOORS)
def test_forged_headers_open_nothing(world: World, door: str) -> None:
    ask = DOORS[door][0]

    def cell(person: Person, model: str) -> list[str]:
        answer = ask(world, person, "direct", model, FORGED)
        wanted = expected(person, "direct", model)
        return [f"{person.name} with {model}: {fault}" for fault in answer.faults(wanted)]

    faults = together(
        [lambda p=person, m=model: cell(p, m) for person in PEOPLE for model in CLEARANCES]
    )
    assert not faults, "\n".join(faults[:20])
