"""`noria act apply|resume|status|undo|reap`: plans are carried out, watched and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli._io.output import AsJson, emit, note, printable, table
from noria.cli.act.opened import opened
from noria.cli.act.plans import PlanName

if TYPE_CHECKING:
    from noria.actions.plans.store import StoredPlan
    from noria.actions.running.runs import Run
    from noria.cli.act.opened import Opened

__all__ = ["apply", "reap", "resume", "status", "undo"]


def apply(plan: PlanName, as_json: AsJson = False) -> None:
    """Carry a plan out, once. Exits with 1 where not all of it could be done."""
    from noria.actions.plans.store import save_plan

    with opened() as at:
        stored = at.plan(plan)
        if stored.parent is not None:
            save_plan(at.home.db, stored.plan, stored.planner, parent=stored.parent)
        run = at.runner.apply(stored, at.person)
        _tell(at, stored, run, as_json)


def resume(plan: PlanName, as_json: AsJson = False) -> None:
    """Go on with a run that a crash or a failed call has stopped."""
    with opened() as at:
        stored = at.plan(plan)
        _tell(at, stored, at.runner.resume(stored.plan.id), as_json)


def undo(plan: PlanName, as_json: AsJson = False) -> None:
    """Take a run back, and prove by looking that nothing is left. Exits with 1 otherwise."""
    with opened() as at:
        stored = at.plan(plan)
        _tell(at, stored, at.runner.undo(stored.plan.id), as_json)


def status(
    plan: Annotated[
        str | None, typer.Argument(metavar="PLAN", help="Left out: all that run.")
    ] = None,
    drift: Annotated[
        bool, typer.Option("--drift", help="Ask the providers what is there and was not planned.")
    ] = False,
    journal: Annotated[
        bool, typer.Option("--journal", help="With every entry of its journal.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what runs, since when, what it costs until now and until its end, and drift."""
    from noria.actions.plans.store import find_plan
    from noria.actions.running.reconciling import reconcile
    from noria.actions.running.report import run_as_json
    from noria.actions.running.runs import find_run, list_runs

    with opened() as at:
        if plan is not None:
            runs = [find_run(at.home.db, at.plan(plan).plan.id)]
        else:
            runs = list_runs(at.home.db, over=False)
        found = [
            run_as_json(at.home.db, at.runner, find_plan(at.home.db, run.plan_id), run)
            for run in runs
        ]
        if drift:
            names = {
                at.environment.operation(call.operation).provider
                for run in runs
                for call in find_plan(at.home.db, run.plan_id).plan.calls
            }
            seen = [one.as_json() for one in reconcile(at.environment, sorted(names))]
            for run_json in found:
                run_json["drift"] = [one for one in seen if one["plan"] in (run_json["id"], None)]
        if journal:
            for run_json in found:
                run_json["journal"] = [
                    {"number": e.number, "kind": e.kind, "call": e.call, **e.content}
                    for e in at.environment.journal(run_json["id"]).entries()
                ]
    if as_json:
        emit(found[0] if plan is not None else found)
        return
    _table(found)
    for one in found:
        for line in one.get("drift", ()):
            note(printable(f"{line['kind']}: {line['provider']} {line['id']} ({line['what']})"))


def reap(as_json: AsJson = False) -> None:
    """End every run whose time to live is over. Have a timer call it; nothing else does."""
    with opened() as at:
        ended = at.runner.reap()
    found = [{"id": one.plan_id, "status": one.status, "reason": one.reason} for one in ended]
    if as_json:
        emit(found)
        return
    table(
        ["plan", "status", "reason"],
        ((one["id"], one["status"], one["reason"]) for one in found),
        empty="No run is over its time to live.",
    )


def _tell(at: Opened, stored: StoredPlan, run: Run, as_json: bool) -> None:
    from noria.actions.running.report import run_as_json
    from noria.actions.running.runs import RunStatus

    found = run_as_json(at.home.db, at.runner, stored, run)
    if as_json:
        emit(found)
    else:
        _table([found])
        if run.reason:
            note(printable(run.reason))
        if not run.status.over:
            note(f"Back: noria act undo {run.plan_id}")
    if run.status in (RunStatus.PARTIAL, RunStatus.STUCK) or (run.status.over and run.reason):
        raise typer.Exit(1)


def _table(found: list[dict[str, Any]]) -> None:
    from noria.types import Money

    table(
        ["plan", "status", "since", "until", ">cost", ">at most", "what runs"],
        (
            (
                one["id"], one["status"], one["begun_at"][:19], one["ends_at"][:19],
                str(Money(one["cost_nano"])), str(Money(one["ceiling_nano"])),
                ", ".join(r["id"] for r in one["resources"] if r["ended_at"] is None)[:80],
            )
            for one in found
        ),
        empty="Nothing runs.",
    )  # fmt: skip
