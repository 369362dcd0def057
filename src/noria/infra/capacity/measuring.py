"""What a request costs in this home, measured: CPU of the running server, engines, and leases."""

from __future__ import annotations

import os
import time
from pathlib import Path

import orjson
from sqlalchemy import func, select, text

from noria.errors import NoriaError
from noria.infra.capacity.needs import Costs
from noria.store import Database
from noria.store.tables.core import leases, spans

__all__ = ["measure"]

_TRIES = 50
_FEWEST = 50
_ENGINE_SPANS = 1000


def measure(db: Database) -> Costs:
    """Measure what a request costs.

    CPU is that of all processes of the running server since it began, over the calls of models
    that were recorded since; so pages that were looked at count as well.

    Raises:
        NoriaError: no server runs, or it has answered fewer than 50 calls.
    """
    try:
        serving = orjson.loads((db.home / "serve.json").read_bytes())
        cpu = _cpu_seconds(int(serving["pid"]))
    except (OSError, ValueError, KeyError):
        raise NoriaError(
            "No server runs on this home, so nothing can be measured.", "Start one: noria serve"
        ) from None
    since = int(serving["started"] * 1e9)
    with db.read() as connection:
        called = spans.c.kind == "model"
        query = select(func.count()).select_from(spans).where(called, spans.c.at >= since)
        calls = int(connection.execute(query).scalar() or 0)
        recent = (
            select(spans.c.duration_ms, spans.c.target)
            .where(called, spans.c.status == "ok", spans.c.at >= since)
            .order_by(spans.c.at.desc())
            .limit(_ENGINE_SPANS)
        )
        found = connection.execute(recent).all()
        held = int(connection.execute(select(func.count()).select_from(leases)).scalar() or 0)
    if calls < _FEWEST:
        raise NoriaError(
            f"The server has answered {calls} calls; {_FEWEST} are needed for a figure.",
            "Let it serve its usual traffic for a while.",
        )
    own = [row.duration_ms for row in found if (row.target or "").startswith("local:")]
    engine = sum(filter(None, own)) / 1000 / len(found) if found else 0.0
    return Costs(cpu / calls, _lease_seconds(db), max(1.0, calls / max(1, held)), engine)


def _cpu_seconds(root: int) -> float:
    """User and system time of a process's children, and of theirs."""
    ticks = os.sysconf("SC_CLK_TCK")
    total, waiting = 0.0, [root]
    while waiting:
        pid = waiting.pop()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / ticks
        waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return total


def _lease_seconds(db: Database) -> float:
    """A write transaction on the table of budgets that changes nothing."""
    begun = time.perf_counter()
    for _ in range(_TRIES):
        with db.write() as connection:
            connection.execute(text("UPDATE budgets SET name = name WHERE id = -1"))
    return (time.perf_counter() - begun) / _TRIES
