"""Runs of an application as its process records them, for the pages."""

from __future__ import annotations

import random
import time
from typing import Any

import orjson
from sqlalchemy import insert, select

from noria.apps.serve.manifest import Manifest, write_app
from noria.ids import new_span_id, new_trace_id
from noria.store import raise_mark
from noria.store.schedules import claim_firing, end_firing, miss_firings, plan_firing
from noria.store.tables.governance import alerts, feedback
from noria.store.tables.retrieval import chunks, documents, indexes, shelves
from noria.store.traces.conversations import add_turn
from noria.types import Label
from tests.support.seed import HOUR, Seeded

__all__ = ["DOCUMENTS", "NOTES", "furnish", "give", "run", "runs", "shelve"]

NOTES: tuple[dict[str, Any], ...] = (
    {"id": "refunds.md", "index": "handbook", "chunk": 2, "label": "internal",
     "score": 0.9919, "title": "Refunds",
     "why": "found by its words (1st) and by its meaning (2nd, similarity 0.61)",
     "text": "A plan can be refunded within 30 days of the payment.\nHardware: 60 days."},
    {"id": "terms.html", "index": "handbook", "chunk": 0, "label": "public",
     "score": 0.5, "title": "Terms of service",
     "why": "found by its meaning (1st, similarity 0.64)",
     "text": "These terms hold for everybody who buys from us."},
)  # fmt: skip
DOCUMENTS: tuple[tuple[str, str, Label, list[list[str]], list[str]], ...] = (
    ("refunds.md", "Refunds", Label.INTERNAL, [],
     ["A plan can be refunded within 30 days of the payment.", "Hardware: 60 days."]),
    ("terms.html", "Terms of service", Label.PUBLIC, [],
     ["These terms hold for everybody who buys from us."]),
    ("pay.md", "Pay bands", Label.CONFIDENTIAL, [["hr", "board"]],
     ["The refund of travel costs is part of the pay; the board decides."]),
    ("staff.md", "For the staff", Label.PUBLIC, [["staff"]],
     ["A refund above 500 USD needs a second pair of eyes."]),
)  # fmt: skip
PROMPT = "Answer only from the notes; cite [n]."


def run(
    made: Seeded,
    at: int,
    *,
    owner: str = "ana",
    question: str = "Is the refund policy 30 or 60 days?",
    answer: str = "It is 30 days for plans and 60 for hardware [1]; the terms hold for all [2].",
    notes: tuple[dict[str, Any], ...] = NOTES,
    outcome: str = "pass",
    app: str = "support",
    steps: int = 1,
    conversation: str | None = None,
    trace: str | None = None,
) -> str:
    """One run of `answer`: a step, a search, a call of a model, two checks. Gives its trace."""
    trace, key, chance = trace or new_trace_id(), made.keys[owner], random.Random(at)
    common = {"trace": trace, "key": key.id, "team": key.team, "user": key.user, "app": app}
    root, base = new_span_id(), 300 * chance.lognormvariate(0, 0.3)
    documents = [{k: v for k, v in note.items() if k not in ("text", "why")} for note in notes]
    chat = {"model": "local:smollm2", "stream": True, "messages": [
        {"role": "system", "content": PROMPT},
        {"role": "user", "content": f"{notes}\n\n{question}"},
    ]}  # fmt: skip
    reply = {"choices": [{"index": 0, "finish_reason": "stop",
                          "message": {"role": "assistant", "content": answer}}]}  # fmt: skip

    def put(identity: str, parent: str | None, begun: float, ms: float, kind: str, name: str | None,
            request: Any, response: Any, **more: Any) -> None:  # fmt: skip
        meta = common | {"t": "span", "id": identity, "parent": parent, "kind": kind, "name": name,
                         "at": at + int(begun * 1e6), "ms": ms, "status": "ok", "cost": 0,
                         "content": True} | more  # fmt: skip
        assert made.journal is not None
        kept = {field: value for field, value in meta.items() if value is not None}
        made.journal.append(kept, orjson.dumps(request), orjson.dumps(response))

    put(root, None, 0, base * 8 + steps, "app", f"{app}.answer", {"question": question}, answer,
        ttft=base * 3)  # fmt: skip
    for place in range(steps):
        put(new_span_id(), root, 2 + place, 1.0, "step", "clean", {"question": question}, question)
    search = new_span_id()
    put(search, root, 2 + steps, base, "search", "handbook", {"question": question, "k": 4}, notes,
        attrs={"documents": documents})  # fmt: skip
    put(new_span_id(), search, 3 + steps, base / 2, "embedding", None,
        {"model": "local:minilm", "input": [question]},
        {"data": [{"embedding": [0.1] * 8}]}, model="local:minilm", target="local:minilm",
        **{"in": 12})  # fmt: skip
    put(new_span_id(), root, 4 + steps + base, base * 6, "chat", None, chat, reply,
        model="local:smollm2", target="local:smollm2", ttft=base * 2, stream=True, cost=120_000,
        **{"in": 412, "out": 38})  # fmt: skip
    for name, said in (("grounded", outcome), ("short", "pass")):
        noted = {"check": name, "outcome": said, "severity": "warn"}
        if said == "fail":
            noted["reason"] = "The second claim is in no note."
        put(new_span_id(), root, 8 * base, base, "check", name, {"reply": answer}, said == "pass",
            attrs=noted)  # fmt: skip
    mark = max((Label.parse(note["label"]) for note in notes), default=Label.PUBLIC)
    raise_mark(made.db, trace, mark)
    if conversation:
        add_turn(made.db, key.id, conversation, app=app, label=mark, trace_id=trace,
                 question=question, answer=answer)  # fmt: skip
    return trace


def give(made: Seeded, trace: str, score: float | None, comment: str | None) -> None:
    """What somebody said of a run."""
    with made.db.write() as connection:
        connection.execute(insert(feedback).values(
            id=new_span_id(), trace_id=trace, at=time.time_ns(), key_id=made.keys["ana"].id,
            user="ana", score=score, comment=comment,
        ))  # fmt: skip


def runs(made: Seeded, number: int = 60, *, days: float = 10) -> list[str]:
    """Many runs, the oldest first, the latest of which a person complained of."""
    chance, now = random.Random(11), time.time_ns()
    ages = sorted((chance.random() * days * 24 * HOUR for _ in range(number)), reverse=True)
    traces = [
        run(made, int(now - age), owner=chance.choice(["ana", "ana", "batch"]),
            outcome=chance.choices(["pass", "fail", "skip", "error"], [17, 2, 1, 0.5])[0])
        for age in ages
    ]  # fmt: skip
    traces.append(run(made, now - 60_000_000_000, outcome="fail", conversation="chat-7"))
    give(made, traces[-1], -1, "The second sentence is not in the handbook.")
    made.take_in()
    return traces


def furnish(made: Seeded) -> None:
    """Applications as their processes describe them: one that answers, one with a mistake."""
    home, now = made.config.home, time.time_ns()
    text = {"type": "string"}
    write_app(home, Manifest(
        "support", "desk/app.py", "ready", line=3, title="Support desk", model="local:smollm2",
        description="Answers from the handbook, and says which page it read.",
        budget="20 USD/day",
        functions=[
            {"name": "answer", "kind": "chat", "doc": "Answer a customer's question.",
             "streams": True, "schedule": None, "returns": text,
             "parameters": {"type": "object", "required": ["question"], "properties": {
                 "question": text,
                 "k": {"type": "integer", "default": 4, "description": "How many passages."}}}},
            {"name": "digest", "kind": "task", "doc": "What was asked yesterday.", "streams": False,
             "schedule": "0 6 * * *", "returns": {"type": "array", "items": text},
             "parameters": {"type": "object", "properties": {
                 "tags": {"type": "array", "items": text, "default": []}}}},
        ],
        checks=[
            {"name": "grounded", "target": "answer", "sample": 0.1, "at_least": 0.9,
             "severity": "warn"},
            {"name": "short", "target": "answer", "sample": 1.0, "at_least": None,
             "severity": "block"},
        ],
        indexes=[{"name": "handbook", "state": "ready", "error": None, "refresh": "0 5 * * *"}],
        variants={"cheap": {"model": "local:smollm2", "k": 2}},
    ))  # fmt: skip
    write_app(home, Manifest(
        "broken", "desk/broken.py", "failed", line=None,
        error="desk/broken.py, line 7: SyntaxError: '(' was never closed.",
    ))  # fmt: skip
    with made.db.write() as connection:
        connection.execute(insert(alerts).values(
            id=new_span_id(), at=now - 5 * HOUR, app="support", check="grounded", passed=82,
            total=100, at_least=0.9, delivered_ns=None, error="the webhook answered 500",
        ))  # fmt: skip
    for days, error in ((1, None), (2, "RuntimeError: the mail server is away")):
        due = now - days * 24 * HOUR
        plan_firing(made.db, "support", "digest", due)
        claim_firing(made.db, "support", "digest", due, "seed", new_trace_id())
        end_firing(made.db, "support", "digest", due, error)
    miss_firings(made.db, "support", "digest", [now - 72 * HOUR])
    plan_firing(made.db, "support", "digest", now + 10 * HOUR)


def shelve(made: Seeded, name: str = "handbook", app: str | None = "support") -> None:
    """An index as its application leaves it, but for the vectors; one document is unreadable.
    One that is there already stays as it is."""
    now = time.time_ns()
    settings = {"tokens": 256, "overlap": 32, "label": "public", "grants": [],
                "refresh": "0 5 * * *"}  # fmt: skip
    with made.db.write() as connection:
        if connection.execute(select(indexes.c.serial).where(indexes.c.name == name)).first():
            return

        def put(table: Any, **values: Any) -> int:
            row = connection.execute(insert(table).values(**values).returning(table.c.serial))
            return int(row.scalar_one())

        index = put(indexes, name=name, app=app, source="handbook/**/*.md", model="local:minilm",
                    dimensions=None, store="exact", version=1, built_ns=now - HOUR, report=None,
                    settings=orjson.dumps(settings).decode())  # fmt: skip
        for identity, title, label, grants, texts in DOCUMENTS:
            shelf = put(shelves, index_id=index, label=int(label),
                        grants=orjson.dumps(grants).decode())  # fmt: skip
            document = put(documents, index_id=index, id=identity, title=title, source=identity,
                           shelf=shelf, digest=b"", characters=sum(map(len, texts)),
                           chunks=len(texts), indexed_ns=now - HOUR)  # fmt: skip
            for number, text in enumerate(texts):
                put(chunks, index_id=index, document=document, shelf=shelf, number=number,
                    heading=title, text=text, digest=b"", embedded=True)  # fmt: skip
        put(documents, index_id=index, id="broken.pdf", characters=0, chunks=0, indexed_ns=now,
            error="not a PDF: the file begins with a line of HTML")  # fmt: skip
