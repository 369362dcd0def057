"""`noria act show|diff|approve|reject|ls`: plans are read, compared and signed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli._io.output import AsJson, emit, iso, note, printable, table
from noria.cli.act.opened import opened

if TYPE_CHECKING:
    from noria.actions.plan import Plan
    from noria.actions.plans.policy import Decision
    from noria.actions.plans.store import StoredPlan
    from noria.cli.act.opened import Opened

__all__ = ["PlanName", "approve", "diff", "ls", "reject", "show"]

PlanName = Annotated[
    str, typer.Argument(metavar="PLAN", help="Its id, its hash, or ID.NUMBER for an alternative.")
]


def show(plan: PlanName, as_json: AsJson = False) -> None:
    """Show a plan: its calls with their sources, its price, its policy, who has signed it."""
    with opened() as at:
        stored = at.plan(plan)
        found = _whole(at, stored)
        if as_json:
            emit(found)
            return
        _print(stored.plan, found)


def diff(
    one: PlanName,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The plan that it became.")],
    as_json: AsJson = False,
) -> None:
    """Show what differs between two plans."""
    from noria.actions.plans.content import difference

    with opened() as at:
        found = difference(at.plan(one).plan, at.plan(other).plan)
    if as_json:
        emit(found)
        return
    table(
        ["what", "from", "to"],
        ((line["path"], _short(line["from"]), _short(line["to"])) for line in found),
        empty="They are the same but for their ids.",
    )


def approve(
    plan: PlanName,
    hash_: Annotated[
        str | None,
        typer.Option("--hash", help="Sign only if the plan has this hash, of which 12 digits do."),
    ] = None,
    confirm: Annotated[
        list[str] | None,
        typer.Option(help="The name of something that the plan destroys; once for each."),
    ] = None,
    narrow: Annotated[
        list[str] | None,
        typer.Option(metavar="CALL.ARGUMENT=VALUE", help="Sign less than was planned."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sign a plan as it is now, or a narrower one. The signature is good once, and for a while."""
    from noria.actions.plans.approvals import sign
    from noria.actions.plans.narrowing import narrow as narrowed
    from noria.actions.plans.store import save_plan
    from noria.actions.running.admission import judge
    from noria.errors import NoriaError

    with opened() as at:
        stored = at.plan(plan)
        expected = stored.plan.hash
        if hash_ is not None and not (len(hash_) >= 12 and expected.startswith(hash_)):
            raise NoriaError(
                f"The plan {stored.plan.id} has the hash {expected[:12]}, not {hash_[:12]}.",
                f"Read it again: noria act show {stored.plan.id}",
            )
        if narrow:
            less = narrowed(stored.plan, _changes(narrow), at.environment.known)
            stored = save_plan(at.home.db, less, stored.planner, parent=stored.plan.id)
        elif stored.parent is not None:
            save_plan(at.home.db, stored.plan, stored.planner, parent=stored.parent)
        signed = sign(
            at.home.db,
            stored,
            stored.plan.hash,
            at.person,
            judge(at.environment, stored),
            at_ns=at.environment.pace.clock(),
            hours=at.home.config.actions.approval_hours,
            typed=confirm or (),
        )
        found = _whole(at, stored)
    if as_json:
        emit(found)
        return
    note(f"{at.person.name} has signed {signed.hash[:12]}, good until {iso(signed.expires_ns)}.")
    waits = found["policy"]["unsigned"]
    note(f"It still waits for: {', '.join(waits)}" if waits else f"noria act apply {found['id']}")


def reject(
    plan: PlanName,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say no to a plan, which then cannot be applied."""
    from noria.actions.plans.approvals import reject as say_no

    with opened() as at:
        stored = at.plan(plan)
        say_no(at.home.db, stored, at.person, reason, at_ns=at.environment.pace.clock())
        found = _whole(at, stored)
    if as_json:
        emit(found)
    else:
        note(f"{at.person.name} has rejected {stored.plan.id}.")


def ls(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most to show.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List plans and how far they are, the newest first."""
    from noria.actions.plans.store import list_plans
    from noria.actions.running.runs import list_runs
    from noria.types import Money

    with opened() as at:
        runs = {run.plan_id: run for run in list_runs(at.home.db)}
        rows: list[dict[str, Any]] = []
        for stored in list_plans(at.home.db, limit=limit):
            plan, run = stored.plan, runs.get(stored.plan.id)
            rows.append(
                {
                    "id": plan.id,
                    "hash": plan.hash,
                    "at": iso(stored.at_ns),
                    "status": str(run.status if run else plan.status),
                    "planner": stored.planner.name,
                    "request": plan.request,
                    "price_hour_nano": plan.price_hour_nano,
                    "ceiling_nano": plan.ceiling_nano,
                    "cost_nano": at.runner.cost_until_now(run) if run else None,
                }
            )
    if as_json:
        emit(rows)
        return
    table(
        ["plan", "status", "by", ">an hour", ">at most", ">cost", "request"],
        (
            (
                row["id"], row["status"], row["planner"], str(Money(row["price_hour_nano"])),
                str(Money(row["ceiling_nano"])),
                "" if row["cost_nano"] is None else str(Money(row["cost_nano"])),
                row["request"][:60],
            )
            for row in rows
        ),
        empty="There is no plan yet: noria act plan \"...\"",
    )  # fmt: skip


def _whole(at: Opened, stored: StoredPlan) -> dict[str, Any]:
    """A plan with what the policy says of it and who has signed."""
    from noria.actions.plan import PlanStatus
    from noria.actions.plans.approvals import approvals_of, names_to_type
    from noria.actions.running.admission import judge

    now = at.environment.pace.clock()
    found = stored.plan.as_json() | {"planner": stored.planner.name, "at": iso(stored.at_ns)}
    with at.home.db.read() as connection:
        said = approvals_of(connection, stored.plan.id)
    found["approvals"] = [
        {
            "person": one.person.name,
            "decision": "approved" if one.approved else "rejected",
            "reason": one.reason,
            "at": iso(one.at_ns),
            "expires_at": iso(one.expires_ns),
            "used_at": iso(one.used_ns),
            "stands": one.approved and one.stands(stored.plan, now),
        }
        for one in said
    ]
    if stored.plan.status is not PlanStatus.READY:
        return found
    decision: Decision = judge(at.environment, stored)
    good = [one.person for one in said if one.approved and one.stands(stored.plan, now)]
    return found | {
        "policy": decision.as_json()
        | {"unsigned": [rule.name for rule in decision.unsigned(good, stored.planner)]},
        "names_to_type": list(names_to_type(stored.plan)),
    }


def _print(plan: Plan, found: dict[str, Any]) -> None:
    from noria.types import Money

    typer.echo(printable(f"{plan.request}\n"))
    typer.echo(f"plan    {plan.id}, {plan.status}, made by {printable(found['planner'])}")
    typer.echo(f"hash    {plan.hash}")
    if plan.reason:
        typer.echo(printable(f"why     {plan.reason}"))
    typer.echo(
        f"price   {Money(plan.price_hour_nano)} an hour, at most {Money(plan.ceiling_nano)} in "
        f"{plan.time_to_live_s / 3600:g} h"
    )
    if policy := found.get("policy"):
        typer.echo(printable(f"policy  {policy['decision']}, by the rule {policy['rule']!r}"))
        for rule in policy["unsigned"]:
            typer.echo(printable(f"        waits for the rule {rule!r} to be signed"))
    for number, call in enumerate(plan.calls, 1):
        typer.echo(printable(f"\n{number}. {call.operation} ({call.effect}, {call.reversibility})"))
        for name, value in call.arguments.items():
            source = call.sources.get(name)
            why = f"  <- {source.kind}: {source.text[:80]}" if source else ""
            typer.echo(printable(f"   {name} = {_short(value)}{why}"))
    for number, one in enumerate(plan.alternatives, 1):
        typer.echo(
            printable(
                f"\n{plan.id}.{number}: {one.count} x {one.instance_type} in {one.region} "
                f"({one.provider}), {Money(one.price_hour_nano)} an hour; {one.why}"
            )
        )
    for said in found["approvals"]:
        typer.echo(printable(f"\n{said['decision']} by {said['person']} at {said['at']}"))


def _changes(narrow: list[str]) -> dict[str, Any]:
    from noria.errors import NoriaError

    found = {}
    for text in narrow:
        name, equals, value = text.partition("=")
        if not equals:
            raise NoriaError(f"{text!r} is not CALL.ARGUMENT=VALUE, such as 1.count=2.")
        try:
            found[name.strip()] = json.loads(value)
        except ValueError:
            found[name.strip()] = value
    return found


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
