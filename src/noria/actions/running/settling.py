"""The end of a run: what it has cost goes into the ledger, what was held comes back."""

from __future__ import annotations

from sqlalchemy import select, update

from noria.actions.plan import Plan
from noria.actions.running.admission import holder_of
from noria.actions.running.environment import Environment
from noria.actions.running.journal import append_entry
from noria.actions.running.resources import cost_of, note_ended, resources_of
from noria.actions.running.runs import Run, RunStatus
from noria.store.budgets.standing import settle_standing
from noria.store.tables.actions import action_runs
from noria.types import Status

__all__ = ["settle"]


def settle(
    environment: Environment, plan: Plan, run: Run, status: RunStatus, reason: str = ""
) -> int:
    """Settle a run of which nothing lives, once.

    Returns:
        What it has cost, in nano-dollars.
    """
    now = environment.pace.clock()
    made = resources_of(environment.db, plan.id)
    # What is gone and of which nobody says since when has ended by now.
    if lost := [one for one in made if one.ended_ns is None]:
        note_ended(environment.db, lost, now)
        made = resources_of(environment.db, plan.id)
    cost = cost_of(made, environment.meterings, now)
    used = _accelerator_seconds(environment, plan, run, now)
    with environment.db.write() as connection:
        settled = connection.execute(
            select(action_runs.c.cost_nano).where(action_runs.c.plan_id == plan.id)
        ).scalar()
        if settled is not None:
            return int(settled)
        settle_standing(
            connection,
            holder_of(plan.id),
            run.span_id,
            cost,
            status=Status.OK if not reason else Status.ERROR,
            duration_ms=(now - run.begun_ns) / 1_000_000,
            attributes={"plan": plan.id, "resources": len(made), "ended": str(status)},
        )
        append_entry(connection, plan.id, now, "settled", None, {"cost_nano": cost})
        connection.execute(
            update(action_runs)
            .where(action_runs.c.plan_id == plan.id)
            .values(
                status=str(status),
                reason=reason,
                ended_ns=now,
                cost_nano=cost,
                accelerator_seconds=used,
            )
        )
    return cost


def _accelerator_seconds(environment: Environment, plan: Plan, run: Run, now: int) -> int:
    """Accelerators times the seconds that the run has lasted; no more than was planned."""
    if not plan.time_to_live_s:
        return 0
    lasted = min(plan.time_to_live_s, -(-(now - run.begun_ns) // 1_000_000_000))
    return run.accelerator_seconds * lasted // plan.time_to_live_s
