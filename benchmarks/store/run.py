"""How fast the store is: intake per call, and the questions that the pages ask, at N traces.

    python benchmarks/store/run.py [--traces 1000000] [--url postgresql://...] [--keep FOLDER]

Every trace goes the way of a real one: hold and end with both bodies through a journal, then the
intake, then the text index. Times are of this process: CPU for the intake, wall for the questions
(the median and the worst of a number of runs, warm). Prints a table in markdown.
"""

from __future__ import annotations

import argparse
import bisect
import itertools
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from noria.config import Config, Store
from noria.ids import new_span_id, new_trace_id
from noria.store import (
    Database,
    Intake,
    Journal,
    budget_status,
    create_key,
    find_spans,
    find_trace,
    list_budgets,
    open_database,
    overview,
    register_holder,
    set_budget,
    spend,
)
from noria.store.budgets.leases import Grant, grant
from noria.store.intake.text_index import index_text
from noria.types import Budget, Subject

DAYS = 30
DAY_NS = 86_400_000_000_000
CHUNK = 20_000
MODELS = ["acme:big", "acme:small", "local:smollm2", "default", "openai:gpt-4o-mini"]
STATUSES = ["ok"] * 960 + ["error"] * 25 + ["refused"] * 10 + ["cancelled"] * 5


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--traces", type=int, default=1_000_000)
    arguments.add_argument("--url", help="a Postgres database; by default SQLite")
    arguments.add_argument("--keep", type=Path, help="use this home and leave it there")
    chosen = arguments.parse_args()
    home = chosen.keep or Path(tempfile.mkdtemp(prefix="noria-bench-"))
    db = open_database(Config(home=home, store=Store(url=chosen.url)))
    try:
        build(db, chosen.traces)
        ask(db)
    finally:
        db.close()
        if not chosen.keep:
            shutil.rmtree(home)


def build(db: Database, traces: int) -> None:
    """Fill the store and print what a call costs."""
    random.seed(7)
    keys = [create_key(db, team=f"team-{number % 5}", user=f"user-{number}")[0]
            for number in range(20)]  # fmt: skip
    for number in range(5):
        set_budget(db, Subject.TEAM, f"team-{number}", Budget.parse("1000000 USD"))
    register_holder(db, "bench", 1, 3600)
    leases = {
        row.name: lease.lease_id
        for row in list_budgets(db)
        if isinstance(
            lease := grant(db, "bench", row.id, 0, want=10**14, least=1, ttl_s=3600), Grant
        )
    }
    bodies = Bodies()
    journal = Journal(db.home, "bench")
    intake = Intake(db, assemble=lambda stream: stream)
    first = time.time_ns() - DAYS * DAY_NS
    step = DAYS * DAY_NS // traces
    append_s = intake_s = index_s = 0.0
    for begin in range(0, traces, CHUNK):
        calls = [
            call(first + number * step, random.choice(keys), leases, bodies)
            for number in range(begin, min(begin + CHUNK, traces))
        ]
        clock = time.process_time()
        for hold, request, end, response in calls:
            journal.append(hold, request)
            journal.append(end, response)
        append_s += time.process_time() - clock
        clock = time.process_time()
        assert intake.take_in() == 2 * len(calls)
        intake_s += time.process_time() - clock
        clock = time.process_time()
        while index_text(db):
            pass
        index_s += time.process_time() - clock
    journal.close()
    intake.take_in()
    db.checkpoint()
    size = sum(file.stat().st_size for file in db.home.glob("noria.db*"))
    print(f"\n{db.dialect}, {traces:,} traces, bodies of {bodies.mean:,.0f} + bytes a call, "
          f"{size / 1e6:,.0f} MB\n")  # fmt: skip
    print("| a call costs | CPU us |\n|---|---:|")
    for name, seconds in (("journal, two appends", append_s), ("intake", intake_s),
                          ("text index, behind", index_s)):  # fmt: skip
        print(f"| {name} | {seconds / traces * 1e6:.1f} |")


class Bodies:
    """Requests and replies with words as frequent as they are in a language."""

    def __init__(self) -> None:
        self.words = [f"{syllable()}{syllable()}{syllable()}" for _ in range(30_000)]
        weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(30_000)))
        self.weights = weights
        self.bodies = [(self.request(), self.reply()) for _ in range(2_000)]
        self.mean = statistics.fmean(len(a) + len(b) for a, b in self.bodies)

    def some(self, least: int, most: int) -> str:
        top = self.weights[-1]
        return " ".join(
            self.words[bisect.bisect(self.weights, random.random() * top)]
            for _ in range(random.randint(least, most))
        )

    def request(self) -> bytes:
        return orjson.dumps(
            {"model": "acme:big", "messages": [
                {"role": "system", "content": "Answer only from the notes."},
                {"role": "user", "content": self.some(20, 140)}]}
        )  # fmt: skip

    def reply(self) -> bytes:
        message = {"role": "assistant", "content": self.some(20, 200)}
        return orjson.dumps(
            {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "big",
             "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
             "usage": {"prompt_tokens": 100, "completion_tokens": 120, "total_tokens": 220}}
        )  # fmt: skip


def syllable() -> str:
    return random.choice("bcdfghjklmnprstvwz") + random.choice("aeiou")


def call(at: int, key: Any, leases: dict[str, int], bodies: Bodies) -> tuple[Any, ...]:
    span_id, status = new_span_id(), random.choice(STATUSES)
    request, response = random.choice(bodies.bodies)
    model = random.choice(MODELS)
    cost = random.randrange(10_000, 2_000_000)
    hold = {
        "t": "hold", "id": span_id, "trace": new_trace_id(), "kind": "chat", "model": model,
        "target": model, "key": key.id, "team": key.team, "user": key.user, "at": at,
        "hold": cost, "leases": [leases[key.team]], "n": 0, "stream": False, "content": True,
    }  # fmt: skip
    end = {
        "t": "end", "id": span_id, "n": 0, "status": status, "at": at, "cost": cost,
        "ms": random.lognormvariate(6, 1),
        "in": random.randrange(2000), "out": random.randrange(500),
    }  # fmt: skip
    return hold, request, end, response


def ask(db: Database) -> None:
    """Time what the pages and verbs ask."""
    newest = find_spans(db)
    deep = str(time.time_ns() - DAYS * DAY_NS // 2)
    key_id, some = newest.rows[0].key_id, newest.rows[25]
    words = Bodies.__new__(Bodies)
    random.seed(7)
    words.words = [f"{syllable()}{syllable()}{syllable()}" for _ in range(30_000)]
    usual, other, rare = words.words[0], words.words[20], words.words[29_000]
    now = time.time_ns()
    questions: list[tuple[str, float | None, Callable[[], Any]]] = [
        ("newest 50", 50, lambda: find_spans(db)),
        ("50 from the middle", 50, lambda: find_spans(db, cursor=deep)),
        ("status error", 100, lambda: find_spans(db, status="error")),
        ("status lost (none)", 100, lambda: find_spans(db, status="lost")),
        ("model", 100, lambda: find_spans(db, model=MODELS[1])),
        ("key", 100, lambda: find_spans(db, key_id=key_id)),
        ("team, model and status", 100,
         lambda: find_spans(db, team="team-1", model=MODELS[1], status="error")),
        ("at least 400 ms", 100, lambda: find_spans(db, min_ms=400)),
        ("at least 8 s (few)", 100, lambda: find_spans(db, min_ms=8_000)),
        ("at least 1 h (none)", 100, lambda: find_spans(db, min_ms=3_600_000)),
        ("model, at least 8 s", 100, lambda: find_spans(db, model=MODELS[1], min_ms=8_000)),
        ("one day of last week", 100,
         lambda: find_spans(db, since_ns=now - 8 * DAY_NS, until_ns=now - 7 * DAY_NS)),
        ("text, a usual word", 500, lambda: find_spans(db, text=usual)),
        ("text, two words", 500, lambda: find_spans(db, text=f"{usual} {other}")),
        ("text, a rare word", 500, lambda: find_spans(db, text=rare)),
        ("text, no such word", 500, lambda: find_spans(db, text="xylophone")),
        ("text and model", 500, lambda: find_spans(db, text=usual, model=MODELS[1])),
        ("text and status error", 500, lambda: find_spans(db, text=other, status="error")),
        ("one trace", None, lambda: find_trace(db, some.id)),
        ("spend by model", 50, lambda: spend(db, "model")),
        ("spend by day", 50, lambda: spend(db, "day")),
        ("spend by key", 50, lambda: spend(db, "key")),
        ("spend by model, last 36 h", 50,
         lambda: spend(db, "model", since_ns=now - 36 * 3_600_000_000_000)),
        ("overview, 24 hours", None, lambda: overview(db, now - DAY_NS, now)),
        ("overview, 30 days", None, lambda: overview(db, now - DAYS * DAY_NS, now, "day")),
        ("budgets", None, lambda: budget_status(db)),
    ]  # fmt: skip
    print("\n| question | rows | median ms | worst ms | at most |\n|---|---:|---:|---:|---:|")
    for name, limit, question in questions:
        answer = question()
        times = []
        for _ in range(9):
            clock = time.perf_counter()
            question()
            times.append((time.perf_counter() - clock) * 1000)
        rows = getattr(answer, "rows", answer)
        print(
            f"| {name} | {len(rows) if isinstance(rows, list) else ''} "
            f"| {statistics.median(times):.1f} | {max(times):.1f} | {limit or ''} |"
        )


if __name__ == "__main__":
    main()
