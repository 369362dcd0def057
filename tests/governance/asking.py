"""Asking an application at each of its doors."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.governance.support import Answer, Person, Providers
from tests.support.door import Door, bearer

__all__ = ["DOORS", "Ask", "World", "together"]

ASKED = "the ledger"


@dataclass
class World:
    """A running server with applications, and everybody's keys."""

    door: Door
    providers: Providers
    keys: dict[str, str | None]
    client: httpx2.Client

    def headers(self, person: Person) -> dict[str, str]:
        secret = self.keys[person.name]
        return bearer(secret) if secret else {}

    def post(self, path: str, body: Any, headers: dict[str, str]) -> Answer:
        reply = self.client.post(path, json=body, headers=headers)
        code = reply.json()["error"]["code"] if reply.status_code >= 400 else None
        text = f"{reply.text}\n{json.dumps(dict(reply.headers))}"
        return Answer(code, text, reply.headers.get("x-noria-trace"), reply.status_code)


Ask = Callable[[World, Person, str, str, dict[str, str]], Answer]


def app_of(model: str) -> str:
    """The variant that asks a model."""
    return "desk" if model == "open" else f"desk@{model}"


def by_chat(world: World, person: Person, path: str, model: str, more: dict[str, str]) -> Answer:
    said = [{"role": "user", "content": f"{path} {ASKED}"}]
    body = {"model": app_of(model), "messages": said}
    return world.post("/v1/chat/completions", body, world.headers(person) | more)


def by_stream(world: World, person: Person, path: str, model: str, more: dict[str, str]) -> Answer:
    said = [{"role": "user", "content": f"{path} {ASKED}"}]
    body = {"model": app_of(model), "messages": said, "stream": True}
    return _joined(world.post("/v1/chat/completions", body, world.headers(person) | more))


def by_rest(world: World, person: Person, path: str, model: str, more: dict[str, str]) -> Answer:
    body = {"question": f"{path} {ASKED}"}
    return world.post(f"/apps/{app_of(model)}/answer", body, world.headers(person) | more)


def by_events(world: World, person: Person, path: str, model: str, more: dict[str, str]) -> Answer:
    assert path == "direct"
    headers = world.headers(person) | {"accept": "text/event-stream"} | more
    return _joined(world.post(f"/apps/{app_of(model)}/streamed", {"question": ASKED}, headers))


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
        told = json.loads(answer.text.partition("\n")[0])["result"].get("_meta") or {}
        answer.code, answer.trace = told.get("noria/code"), told.get("noria/trace")
    return answer


DOORS: dict[str, Ask] = {
    "rest": by_rest,
    "chat": by_chat,
    "stream": by_stream,
    "events": by_events,
    "mcp": by_mcp,
}


def _joined(answer: Answer) -> Answer:
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


def together(work: list[Callable[[], list[str]]]) -> list[str]:
    """Do all of it, several at the same time (callers must not be mixed up); gives the faults."""
    with ThreadPoolExecutor(8) as pool:
        return [fault for faults in pool.map(lambda one: one(), work) for fault in faults]
