"""Signatures under plans: bound to the hash, good for a while, used once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row, select, update

from noria.actions.operation import Effect
from noria.actions.plan import Plan, PlanStatus
from noria.actions.plans.person import Person
from noria.actions.plans.policy import Decision
from noria.actions.plans.store import StoredPlan, person_values
from noria.errors import NoriaError
from noria.store.database import Database, insert_into
from noria.store.tables.actions import action_approvals, action_runs

__all__ = ["Approval", "approvals_of", "names_to_type", "reject", "sign", "use_approvals"]


@dataclass(frozen=True, slots=True)
class Approval:
    """What one person has said of a plan."""

    person: Person
    hash: str
    at_ns: int
    approved: bool
    """Otherwise it was rejected."""
    reason: str
    expires_ns: int
    used_ns: int | None

    def stands(self, plan: Plan, at_ns: int) -> bool:
        """Whether it is good for this very plan now."""
        return self.hash == plan.hash and self.used_ns is None and at_ns < self.expires_ns


def names_to_type(plan: Plan) -> tuple[str, ...]:
    """What must be typed by whoever signs: the name of everything that the plan destroys."""
    names: dict[str, None] = {}
    for call in plan.calls:
        if call.effect is Effect.DESTROY:
            touched = [name.partition("=")[2] or name for name in call.touches]
            names |= dict.fromkeys(touched or [call.operation])
    return tuple(names)


def sign(
    db: Database,
    stored: StoredPlan,
    hash_: str,
    person: Person,
    decision: Decision,
    *,
    at_ns: int,
    hours: float,
    typed: Sequence[str] = (),
) -> Approval:
    """Sign a plan.

    Args:
        db: the database.
        stored: the plan.
        hash_: the hash of what the person has read, whole.
        person: who signs.
        decision: what the policy says of it now.
        at_ns: now.
        hours: how long the signature is good for.
        typed: the names that the person has typed.

    Raises:
        NoriaError: the plan cannot be signed, or not by this person, or not like this.
    """
    plan = stored.plan
    if hash_ != plan.hash:
        raise NoriaError(
            f"The plan {plan.id} has the hash {plan.hash[:12]}, not {hash_[:12]}: it is not what "
            "was read.",
            f"Read it again (noria act show {plan.id}) and approve what it is now.",
        )
    if plan.status is not PlanStatus.READY:
        raise NoriaError(
            f"The plan {plan.id} cannot be carried out: {plan.reason}",
            "Take one of its alternatives, or make a new one.",
        )
    if decision.verdict == "deny":
        raise NoriaError(
            f"The policy denies the plan {plan.id}, by the rule {decision.rule!r}.",
            "Nobody can sign what is denied; change the plan, or the rule in noria.toml.",
        )
    if decision.verdict == "allow":
        raise NoriaError(
            f"The plan {plan.id} needs no approval, by the rule {decision.rule!r}.",
            f"noria act apply {plan.id}",
        )
    if not any(rule.may_sign(person, stored.planner) for rule in decision.to_satisfy):
        raise NoriaError(*_refusal(person, stored, decision))
    if missing := [name for name in names_to_type(plan) if name not in typed]:
        raise NoriaError(
            f"The plan {plan.id} destroys {', '.join(missing)}.",
            "Type the name of everything that it destroys: --confirm NAME.",
        )
    approval = Approval(
        person, plan.hash, at_ns, True, "", at_ns + int(hours * 3600) * 1_000_000_000, None
    )
    _keep(db, plan, approval)
    return approval


def reject(db: Database, stored: StoredPlan, person: Person, reason: str, *, at_ns: int) -> None:
    """Say no to a plan, which then cannot be carried out.

    Raises:
        NoriaError: it is carried out already.
    """
    _keep(db, stored.plan, Approval(person, stored.plan.hash, at_ns, False, reason, at_ns, None))


def approvals_of(connection: Connection, plan_id: str) -> list[Approval]:
    """What was said of a plan, in that order."""
    rows = connection.execute(
        select(action_approvals)
        .where(action_approvals.c.plan_id == plan_id)
        .order_by(action_approvals.c.at)
    )
    return [_approval(row) for row in rows]


def use_approvals(
    connection: Connection, stored: StoredPlan, decision: Decision, at_ns: int
) -> None:
    """Use up the signatures of a plan, in the transaction that begins to carry it out.

    Raises:
        NoriaError: the policy denies it, somebody has rejected it, or signatures are missing.
    """
    plan = stored.plan
    if decision.verdict == "deny":
        raise NoriaError(
            f"The policy denies the plan {plan.id}, by the rule {decision.rule!r}.",
            "Change the plan, or the rule in noria.toml.",
        )
    said = approvals_of(connection, plan.id)
    if no := next((one for one in said if not one.approved), None):
        why = f": {no.reason}" if no.reason else "."
        raise NoriaError(
            f"{no.person.name} has rejected the plan {plan.id}{why}", "Make a new one."
        )
    good = [one for one in said if one.stands(plan, at_ns)]
    missing = decision.unsigned([one.person for one in good], stored.planner)
    if missing:
        raise NoriaError(*_unsigned(plan, said, missing[0].name, at_ns))
    if good and decision.verdict == "needs_approval":
        used = connection.execute(
            update(action_approvals)
            .where(
                action_approvals.c.plan_id == plan.id,
                action_approvals.c.hash == plan.hash,
                action_approvals.c.used_ns.is_(None),
            )
            .values(used_ns=at_ns)
        )
        if used.rowcount < len(good):
            raise NoriaError(f"The approval of the plan {plan.id} was used meanwhile.")


def _keep(db: Database, plan: Plan, approval: Approval) -> None:
    values = {
        "at": approval.at_ns,
        "decision": "approved" if approval.approved else "rejected",
        "reason": approval.reason,
        "expires_ns": approval.expires_ns,
        **person_values(approval.person),
    }
    key = (action_approvals.c.plan_id, action_approvals.c.hash, action_approvals.c.person)
    with db.write() as connection:
        if connection.execute(
            select(action_runs.c.plan_id).where(action_runs.c.plan_id == plan.id)
        ).first():
            raise NoriaError(
                f"The plan {plan.id} is carried out already.", f"noria act status {plan.id}"
            )
        connection.execute(
            insert_into(connection, action_approvals)
            .values(plan_id=plan.id, hash=approval.hash, **values)
            .on_conflict_do_update(index_elements=key, set_=values)
        )


def _approval(row: Row[Any]) -> Approval:
    groups = frozenset(orjson.loads(row.groups))
    return Approval(
        Person(row.person, row.key_id, row.team, row.user, groups, row.admin),
        row.hash,
        row.at,
        row.decision == "approved",
        row.reason,
        row.expires_ns,
        row.used_ns,
    )


def _refusal(person: Person, stored: StoredPlan, decision: Decision) -> tuple[str, str]:
    rule = decision.to_satisfy[0]
    if rule.settings.four_eyes and person.name == stored.planner.name:
        return (
            f"{person.name} has planned {stored.plan.id} and may not sign it, by the rule "
            f"{rule.name!r}.",
            "Somebody else must sign it.",
        )
    return (
        f"{person.name} may not sign the plan {stored.plan.id}, by the rule {rule.name!r}.",
        f"One of these may: {', '.join(rule.settings.approvers)}.",
    )


def _unsigned(plan: Plan, said: list[Approval], rule: str, at_ns: int) -> tuple[str, str]:
    again = f"noria act approve {plan.id}"
    if any(one.hash != plan.hash for one in said):
        return f"What was signed is not what the plan {plan.id} is now.", again
    if any(one.approved and one.expires_ns <= at_ns for one in said):
        return f"The approval of the plan {plan.id} has expired.", again
    return f"The plan {plan.id} is not signed as the rule {rule!r} demands.", again
