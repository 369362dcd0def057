"""A store with a few hundred calls as a team might make them, recorded through the journal."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from noria.config import Config, load
from noria.ids import new_trace_id
from noria.models.chunks import assemble
from noria.store import (
    Database,
    Journal,
    Key,
    budget_status,
    create_key,
    grant,
    open_database,
    register_holder,
    set_budget,
    take_in,
)
from noria.types import EVERY_GROUP, Budget, Label, Subject, nanoseconds

HOUR = 3_600_000_000_000
MODELS = {
    # name: (share, nano per token in, out, ms per token out, first token)
    "openai:gpt-4o-mini": (5, 150, 600, 11, 420),
    "anthropic:claude-sonnet-4-5": (3, 3000, 15000, 15, 760),
    "local:smollm2": (4, 0, 0, 9, 180),
    "acme:big": (1, 2000, 8000, 24, 1100),
}
TALKS = (
    (
        "Which regions still run the old billing job?",
        "Three: **eu-west-1**, us-east-2, ap-south-1.",
    ),
    ("Summarise this ticket in two sentences.", "The export stops at 10,000 rows. A fix is out."),
    ("Write a function that chunks a list.", "```python\ndef chunks(xs, n):\n    ...\n```"),
    ("Is the refund policy 30 or 60 days?", "It is 30 days for plans, 60 for hardware [1]."),
    ("Translate to German: where is my parcel?", "Wo ist mein Paket?"),
)


@dataclass
class Seeded:
    """A home with its keys."""

    config: Config
    db: Database
    secrets: dict[str, str] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    journal: Journal | None = None

    def take_in(self) -> int:
        return take_in(self.db, assemble)


def seed(folder: Path, calls: int = 300, *, days: float = 14, settings: str = "") -> Seeded:
    """Make a home below `folder` with keys, budgets and recorded calls."""
    (folder / "noria.toml").write_text(
        '[providers.acme]\nbase_url = "http://127.0.0.1:9/v1"\n'
        '[prices."acme:big"]\ninput = 2.0\noutput = 8.0\n'
        '[models.default]\ntargets = ["acme:big", "local:smollm2"]\n' + settings
    )
    config = load(folder / "noria.toml", environ={})
    made = Seeded(config, open_database(config))
    budgets = {
        Subject.INSTALLATION: ("", "20 USD/month"),
        Subject.TEAM: ("search", "0.60 USD/day"),
        Subject.MODEL: ("anthropic:claude-sonnet-4-5", "1 USD/week"),
    }
    for subject, (name, amount) in budgets.items():
        set_budget(made.db, subject, name, Budget.parse(amount))
    people: tuple[tuple[str, dict[str, Any]], ...] = (
        (
            "admin",
            {
                "admin": True,
                "name": "administrator",
                "groups": [EVERY_GROUP],
                "clearance": Label.RESTRICTED,
            },
        ),
        (
            "ana",
            {
                "team": "search",
                "user": "ana",
                "budget": Budget.parse("0.40 USD/day"),
                "rpm": 60,
                "groups": ["staff"],
                "clearance": Label.INTERNAL,
            },
        ),
        ("ben", {"team": "support", "user": "ben", "models": ["local:smollm2"], "concurrency": 4}),
        ("batch", {"team": "research", "name": "nightly batch", "tpm": 200_000}),
    )
    for name, options in people:
        made.keys[name], made.secrets[name] = create_key(made.db, **options)
    made.journal = Journal(config.home, "seed")
    chance = random.Random(7)
    now = time.time_ns()
    ages = sorted((chance.random() ** 2 * days * 24 * HOUR for _ in range(calls)), reverse=True)
    for age in ages:
        record(made, chance, int(now - age))
    agent(made, now - 90_000_000_000)
    made.take_in()
    draw(made)
    return made


def draw(made: Seeded) -> None:
    """Lease from every budget, as serving processes do: what was spent before is counted then."""
    register_holder(made.db, "seed", os.getpid(), 3600, 2**40)
    for status in budget_status(made.db):
        start = nanoseconds(status.window_start)
        grant(made.db, "seed", status.row.id, start, want=1000, least=1, ttl_s=3600)


def record(made: Seeded, chance: random.Random, at: int, **changes: Any) -> dict[str, Any]:
    """One call, most of them answered."""
    shares = [share for share, *_ in MODELS.values()]
    model = chance.choices(list(MODELS), shares)[0]
    _, price_in, price_out, pace, first = MODELS[model]
    question, answer = chance.choice(TALKS)
    owner = made.keys[chance.choices(["ana", "ben", "batch"], [5, 2, 3])[0]]
    tokens_in, tokens_out = chance.randint(30, 900), chance.randint(20, 500)
    status = chance.choices(["ok", "error", "refused", "cancelled"], [94, 3, 2, 1])[0]
    ttft = first * chance.lognormvariate(0, 0.3)
    meta: dict[str, Any] = {
        "t": "span", "id": _span_id(at), "trace": _trace_id(at), "kind": "chat", "model": model,
        "target": model, "key": owner.id, "team": owner.team, "user": owner.user, "at": at,
        "stream": True, "content": True, "status": status,
        "ms": ttft + pace * tokens_out, "ttft": ttft, "in": tokens_in, "out": tokens_out,
        "cost": tokens_in * price_in + tokens_out * price_out,
    }  # fmt: skip
    reply = {
        "id": "chatcmpl-1", "object": "chat.completion", "model": model,
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": answer}}],
        "usage": {"prompt_tokens": tokens_in, "completion_tokens": tokens_out},
    }  # fmt: skip
    if status in ("error", "refused"):
        code = "upstream_error" if status == "error" else "budget_exhausted"
        said = "The provider answered 503." if status == "error" else "The budget is spent."
        meta |= {"code": code, "error": said, "cost": 0, "in": None, "out": None, "ttft": None,
                 "ms": 40.0 + 300 * chance.random()}  # fmt: skip
        reply = {"error": {"message": said, "type": "server_error", "param": None, "code": code}}
    meta |= changes.pop("meta", {})
    request = {
        "model": model,
        "messages": changes.pop("messages", None)
        or [
            {"role": "system", "content": "Answer only from the notes; cite [n]."},
            {"role": "user", "content": question},
        ],
        "stream": True,
    }
    reply = changes.pop("reply", None) or reply
    assert made.journal is not None
    made.journal.append(
        {name: value for name, value in meta.items() if value is not None},
        orjson.dumps(request),
        orjson.dumps(reply),
    )
    return meta


def agent(made: Seeded, at: int) -> str:
    """A trace of several spans, with a tool call; gives its id."""
    owner, chance = made.keys["ana"], random.Random(3)
    trace = _trace_id(at)
    root = _span_id(at)
    common = {"trace": trace, "key": owner.id, "team": owner.team, "user": owner.user}
    ask = [{"role": "user", "content": "Launch four VMs with eight A100s in us-west-1."}]
    call = {"id": "call_1", "type": "function", "function": {
        "name": "launch_vms",
        "arguments": '{"count": 4, "gpu": "A100", "gpus": 8, "region": "us-west-1"}',
    }}  # fmt: skip
    calls = {"role": "assistant", "content": None, "tool_calls": [call]}
    steps: tuple[tuple[str, float, float, str | None, dict[str, Any]], ...] = (
        (root, 0, 6200, None, {"kind": "app", "name": "operator"}),
        (_span_id(at + 10_000_000), 10, 1900, root, {"kind": "chat", "reply": calls}),
        (_span_id(at + 2_000_000_000), 2000, 2600, root, {"kind": "tool", "name": "launch_vms"}),
        (_span_id(at + 4_700_000_000), 4700, 1480, root, {"kind": "chat"}),
    )
    for place, (identity, offset, length, parent, step) in enumerate(steps):
        spec = dict(step)
        answer = spec.pop("reply", {"role": "assistant", "content": "Four VMs are starting."})
        messages = list(ask)
        if place == 3:
            messages += [
                calls,
                {"role": "tool", "tool_call_id": "call_1", "content": '{"ok": true}'},
            ]
        chats = spec["kind"] == "chat"
        meta = common | spec | {
            "id": identity, "parent": parent, "at": at + int(offset * 1e6), "ms": float(length),
            "ttft": 620.0 if chats else None, "status": "ok",
            "model": "openai:gpt-4o-mini" if chats else None,
            "target": "openai:gpt-4o-mini" if chats else None,
            "in": 812 if chats else None, "out": 64 if chats else None,
            "cost": 160_200 if chats else 0, "stream": chats,
        }  # fmt: skip
        record(made, chance, at, meta=meta, messages=messages,
               reply={"choices": [{"index": 0, "message": answer,
                                   "finish_reason": "stop"}]})  # fmt: skip
    return trace


def _span_id(at: int) -> str:
    return f"{at // 1000 << 12 | random.getrandbits(12):016x}"


def _trace_id(at: int) -> str:
    return _span_id(at) + new_trace_id()[16:]
