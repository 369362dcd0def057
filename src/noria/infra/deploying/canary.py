"""A canary: a revision that answers a share of the conversations, until the evidence decides.

Every measure is a value from 0 to 1 of which more is better, compared by the always-valid
`Decision` of two variants that are drawn at random. The first observation of a conversation counts,
as later ones depend on it. It is promoted once each measure is shown to be better, or no worse than
its margin allows, and taken back as soon as one is shown to be worse.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import func, select

from noria.evals.decision import Decision, Measure, State
from noria.store import Database
from noria.store.tables.core import spans
from noria.store.tables.governance import feedback, verdicts

if TYPE_CHECKING:
    from noria.config import Config

__all__ = ["MARGINS", "Outlook", "begin_evidence", "observe", "outlook", "watch_canaries"]

log = logging.getLogger("noria.deploy")

MARGINS = {"errors": 0.02, "latency": 0.1, "cost": 0.1, "votes": 0.1, "check": 0.05}
"""How much less still counts as good, of 1: of an answer without an error, of the time and money
that three times the slowest and dearest twentieth takes, of a vote, of a check passed."""
_ALWAYS = ("errors", "latency", "cost")
_BACK_NS = 3_600_000_000_000
_LOOK_SECONDS = 2.0
_CAP_MS, _CAP_NANO = 10_000.0, 10_000_000
_HISTORY = 1000


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the evidence says by now."""

    action: str | None
    """`promote`, `rollback`, or None while it is undecided."""
    reason: str
    figures: dict[str, dict[str, Any]]
    """For each measure: verdict, effect with its interval, observations, and how many more."""


def begin_evidence(
    db: Database, app: str, checks: Sequence[str], share: float, confidence: float = 0.95
) -> dict[str, Any]:
    """Make the evidence of a canary that begins now; what it is measured by is fixed here.

    Args:
        db: the home's database.
        app: the application.
        checks: the names of its checks.
        share: the canary's share.
        confidence: of all measures together, over all looks.
    """
    names = [*_ALWAYS, "votes", *(f"check {name}" for name in checks)]
    ms, nano = _caps(db, app)
    return {
        "since": time.time_ns(),
        "caps": {"latency": ms, "cost": nano},
        "measures": {
            name: Decision(
                Measure.MEANS, confidence=confidence, margin=MARGINS[name.partition(" ")[0]],
                measures=len(names), share=share,
            ).to_json()
            for name in names
        },
        "seen": {},
    }  # fmt: skip


def observe(
    db: Database, app: str, live: str, canary: str, evidence: dict[str, Any]
) -> dict[str, Any]:
    """Take in what was recorded since the last look.

    Args:
        db: the home's database.
        app: the application.
        live: the revision that serves.
        canary: the revision that is tried.
        evidence: as it stood.

    Returns: the evidence as it stands now.
    """
    measures = {name: Decision.from_json(one) for name, one in evidence["measures"].items()}
    since = max(evidence["since"], time.time_ns() - _BACK_NS)
    seen = {what: at for what, at in evidence["seen"].items() if at >= since}
    sides = {live: False, canary: True}
    for name, identity, at, revision, unit, value in sorted(
        _observations(db, app, since, evidence["caps"]), key=lambda one: one[2]
    ):
        what = f"{name} {identity}"
        if name not in measures or revision not in sides or what in seen:
            continue
        seen[what] = at
        measures[name].add(value, challenger=sides[revision], cluster=unit)
    return evidence | {
        "measures": {name: one.to_json() for name, one in measures.items()},
        "seen": seen,
    }


def outlook(evidence: dict[str, Any]) -> Outlook:
    """Say what the evidence decides by now."""
    figures: dict[str, dict[str, Any]] = {}
    worse, open_ = [], []
    for name, data in evidence["measures"].items():
        one = Decision.from_json(data)
        interval, verdict = one.interval, one.verdict
        figures[name] = {
            "verdict": verdict.value,
            "effect": [interval.value, interval.lower, interval.upper],
            "margin": one.margin,
            "observations": {"live": data["arms"][0][0], "canary": data["arms"][1][0]},
            "means": [total / count if count else None for count, total in data["arms"]],
            "more": one.more_needed(0.0),
        }
        if verdict is State.WORSE:
            # Shown to be worse, and not shown to be within what is allowed.
            if interval.lower <= -one.margin:
                worse.append(name)
        elif verdict is State.UNDECIDED and (name in _ALWAYS or one.count):
            open_.append(name)
    if worse:
        return Outlook("rollback", f"worse in {', '.join(worse)}", figures)
    if open_:
        return Outlook(None, f"undecided in {', '.join(open_)}", figures)
    return Outlook("promote", "better, or no worse than the margins allow, in all", figures)


async def watch_canaries(config: Config) -> None:
    """Look at every canary of this home's server, and act on what the evidence decides."""
    from noria.apps.serve.revisions import read_routes

    db: Database | None = None
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if not any(routed.canary for routed in read_routes(config.home).values()):
            continue
        try:
            if db is None:
                db = Database(config.store_url, config.home)
            await asyncio.to_thread(_look, config, db)
        except Exception:
            # The server goes on; a database that is away is asked again.
            log.exception("the canaries could not be looked at")


def _look(config: Config, db: Database) -> None:
    from noria.infra.deploying.deploy import look_at_canaries

    look_at_canaries(config, db)


def _observations(
    db: Database, app: str, since: int, caps: dict[str, float]
) -> Iterator[tuple[str, str, int, str, str, float]]:
    """Every measure of every run since an instant: its name, what it is of, when, the revision, the
    unit that was drawn, and the value."""
    runs: dict[str, tuple[str, str]] = {}
    columns = (
        spans.c.at, spans.c.id, spans.c.trace_id, spans.c.status, spans.c.duration_ms,
        spans.c.attributes,
    )  # fmt: skip
    with db.read() as connection:
        query = select(*columns).where(
            spans.c.kind == "app", spans.c.app == app, spans.c.at >= since,
            spans.c.status != "running",
        )  # fmt: skip
        rows = [row for row in connection.execute(query) if row.attributes]
        begun = {row.trace_id for row in rows}
        costs = {
            trace: int(nano or 0)
            for trace, nano in connection.execute(
                select(spans.c.trace_id, func.sum(spans.c.cost_nano))
                .where(spans.c.at >= since)
                .group_by(spans.c.trace_id)
            )
            if trace in begun
        }
        said = connection.execute(
            select(feedback.c.id, feedback.c.trace_id, feedback.c.at, feedback.c.score).where(
                feedback.c.at >= since, feedback.c.score.is_not(None)
            )
        ).all()
        checked = connection.execute(
            select(verdicts).where(verdicts.c.at >= since, verdicts.c.app == app)
        ).all()
    for row in rows:
        told = orjson.loads(row.attributes)
        if "revision" not in told or "unit" not in told:
            continue
        place = (told["revision"], told["unit"])
        runs[row.trace_id] = place
        if row.status not in ("ok", "error", "lost"):
            continue  # refused or left by its caller: that says nothing of the revision
        bad = row.status != "ok"
        yield "errors", row.id, row.at, *place, 0.0 if bad else 1.0
        if not bad and row.duration_ms is not None:
            yield "latency", row.id, row.at, *place, 1 - min(1.0, row.duration_ms / caps["latency"])
        yield "cost", row.id, row.at, *place, 1 - min(1.0, costs[row.trace_id] / caps["cost"])
    for one in said:
        if one.trace_id in runs:
            score = (max(-1.0, min(1.0, one.score)) + 1) / 2
            yield "votes", one.id, one.at, *runs[one.trace_id], score
    for one in checked:
        if one.trace_id in runs and one.outcome in ("pass", "fail", "error"):
            passed = 1.0 if one.outcome == "pass" else 0.0
            yield f"check {one.check}", one.span_id, one.at, *runs[one.trace_id], passed


def _caps(db: Database, app: str) -> tuple[float, float]:
    """Three times what the slowest and the dearest twentieth of the last runs took."""
    recent = (
        select(spans.c.trace_id, spans.c.duration_ms)
        .where(spans.c.kind == "app", spans.c.app == app, spans.c.status == "ok")
        .order_by(spans.c.at.desc())
        .limit(_HISTORY)
        .subquery()
    )
    with db.read() as connection:
        took = sorted(row[0] for row in connection.execute(select(recent.c.duration_ms)) if row[0])
        cost = sorted(
            int(row[0] or 0)
            for row in connection.execute(
                select(func.sum(spans.c.cost_nano))
                .where(spans.c.trace_id.in_(select(recent.c.trace_id)))
                .group_by(spans.c.trace_id)
            )
        )
    slow = took[int(len(took) * 0.95)] * 3 if took else _CAP_MS
    dear = cost[int(len(cost) * 0.95)] * 3 if cost else 0
    return max(1.0, slow), max(1.0, float(dear or _CAP_NANO))
