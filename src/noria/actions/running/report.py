"""A run as programs and pages read it."""

from __future__ import annotations

from typing import Any

from noria.actions.plans.store import StoredPlan
from noria.actions.running.resources import Made, resources_of
from noria.actions.running.runner import Runner
from noria.actions.running.runs import Run
from noria.store.database import Database
from noria.types import from_nanoseconds

__all__ = ["run_as_json"]


def run_as_json(db: Database, runner: Runner, stored: StoredPlan, run: Run) -> dict[str, Any]:
    """A run with what it has made and what it has cost until now."""
    made = resources_of(db, run.plan_id)
    return {
        "id": run.plan_id,
        "hash": run.hash,
        "request": stored.plan.request,
        "status": str(run.status),
        "reason": run.reason,
        "planner": stored.planner.name,
        "applied_by": run.person,
        "begun_at": _iso(run.begun_ns),
        "ends_at": _iso(run.deadline_ns),
        "ended_at": _iso(run.ended_ns),
        "price_hour_nano": sum(one.price_hour_nano for one in made if one.ended_ns is None),
        "cost_nano": runner.cost_until_now(run),
        "ceiling_nano": run.ceiling_nano,
        "trace": run.trace_id,
        "resources": [_resource(one) for one in made],
    }


def _resource(made: Made) -> dict[str, Any]:
    return {
        "provider": made.provider,
        "id": made.id,
        "kind": made.kind,
        "region": made.region,
        "call": made.call + 1,
        "state": made.state,
        "price_hour_nano": made.price_hour_nano,
        "begun_at": _iso(made.begun_ns),
        "ended_at": _iso(made.ended_ns),
    }


def _iso(nanoseconds: int | None) -> str | None:
    if nanoseconds is None:
        return None
    return from_nanoseconds(nanoseconds).isoformat(timespec="microseconds").replace("+00:00", "Z")
