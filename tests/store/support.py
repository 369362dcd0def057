"""A serving process as the store sees it: a journal, leases, and calls of models."""

from __future__ import annotations

import time
from typing import Any

import orjson

from noria.ids import new_span_id, new_trace_id
from noria.store import Database, Grant, Intake, Journal, grant, register_holder

ALWAYS = 0
"""The start of the window of a total."""


def assemble(stream: bytes, wire: str = "chat", part: str = "stream") -> bytes:
    """Stands in for the models floor's: one JSON object of a recorded stream."""
    if b"broken" in stream:
        raise ValueError("broken stream")
    return orjson.dumps({"assembled": stream.decode()})


def take_in(db: Database) -> int:
    return Intake(db, assemble=assemble).take_in()


def chat_request(text: str) -> bytes:
    return orjson.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})


def chat_reply(text: str) -> bytes:
    return orjson.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]})


class Process:
    """Appends what a gateway appends."""

    def __init__(self, db: Database, holder: str, **journal: Any) -> None:
        self.db = db
        self.holder = holder
        self.journal = Journal(db.home, holder, **journal)
        register_holder(db, holder, pid=1, ttl_s=60)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    def die(self) -> None:
        """End as a killed process ends: the lock is free, and nothing more is said."""
        self.journal.close()

    def lease(self, budget_id: int, amount: int, start_ns: int = ALWAYS) -> int:
        answer = grant(
            self.db, self.holder, budget_id, start_ns, want=amount, least=amount, ttl_s=60
        )
        assert isinstance(answer, Grant)
        return answer.lease_id

    def hold(self, amount: int = 0, leases: list[int] | None = None, **more: Any) -> str:
        """Begin a call; returns its id."""
        span_id = new_span_id()
        request = more.pop("request", chat_request("hello"))
        self.journal.append(
            {
                "t": "hold", "id": span_id, "trace": new_trace_id(), "kind": "chat", "model": "m",
                "target": "acme:big", "key": "key_1", "at": time.time_ns(), "hold": amount,
                "leases": leases or [], "n": 0, "stream": False, "content": True,
            } | more,
            request,
        )  # fmt: skip
        return span_id

    def end(self, span_id: str, cost: int = 0, **more: Any) -> None:
        response = more.pop("response", chat_reply("good day"))
        self.journal.append(
            {
                "t": "end", "id": span_id, "n": 0, "status": "ok", "at": time.time_ns(),
                "ms": 12.5, "in": 3, "out": 5, "cost": cost,
            } | more,
            response,
        )  # fmt: skip

    def call(self, cost: int = 0, leases: list[int] | None = None, **more: Any) -> str:
        """A whole call; returns its id."""
        ended = {
            name: more.pop(name)
            for name in ("response", "status", "ms", "in", "out", "code", "error", "attrs", "ttft")
            if name in more
        }
        span_id = self.hold(more.pop("hold", cost), leases, **more)
        self.end(span_id, cost, **ended)
        return span_id
