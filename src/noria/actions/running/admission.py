"""Whether a plan may be carried out now, and the one transaction that begins it."""

from __future__ import annotations

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from noria.actions.plan import Plan, PlanStatus
from noria.actions.plans.approvals import use_approvals
from noria.actions.plans.facts import PlanFacts, facts_of
from noria.actions.plans.person import Person
from noria.actions.plans.policy import Decision, Policy
from noria.actions.plans.store import StoredPlan
from noria.actions.provider import ProviderError
from noria.actions.running.environment import Environment
from noria.actions.running.journal import append_entry
from noria.actions.running.references import calls_named
from noria.actions.running.runs import RunStatus, usage_of
from noria.errors import NoriaError
from noria.ids import new_span_id, new_trace_id
from noria.store.budgets.standing import (
    Account,
    OverBudget,
    StandingHold,
    hold_standing,
    lend_time,
)
from noria.store.tables.actions import action_runs
from noria.types import from_nanoseconds

__all__ = ["begin", "holder_of", "judge"]

_SECOND = 1_000_000_000


def holder_of(plan_id: str) -> str:
    """The name under which a run holds money."""
    return f"plan-{plan_id}"


def judge(environment: Environment, stored: StoredPlan) -> Decision:
    """What the policy says of a plan now.

    Raises:
        NoriaError: the plan calls what is in no catalogue.
    """
    return Policy(environment.settings).decide(
        facts_of(stored.plan, environment.known),
        stored.planner,
        usage_of(environment.db),
        from_nanoseconds(environment.pace.clock()),
    )


def begin(environment: Environment, stored: StoredPlan, person: Person) -> None:
    """Begin the run of a plan: all of it is checked, its signatures are used, its money is held.

    Raises:
        NoriaError: it may not be carried out, or is carried out already; nothing has happened.
    """
    plan = stored.plan
    if plan.status is not PlanStatus.READY:
        raise NoriaError(
            f"The plan {plan.id} cannot be carried out: {plan.reason}",
            f"noria act show {plan.id} lists its alternatives.",
        )
    with environment.db.read() as connection:
        _refuse_second(
            connection.execute(
                select(action_runs.c.plan_id).where(action_runs.c.plan_id == plan.id)
            ).first()
            is not None,
            plan,
        )
    facts = facts_of(plan, environment.known)
    _check_versions(environment, plan)
    _check_offers(environment, plan, facts)
    _dry_run(environment, plan)
    decision = judge(environment, stored)
    planner = stored.planner
    account = Account(planner.key_id, planner.team, planner.user, planner.app)
    rows = account.budgets(environment.db)
    if rows and not facts.price_known:
        raise NoriaError(
            f"The plan {plan.id} starts something whose price is unknown, and a budget applies.",
            "Choose an offer with a price, or have the price looked up (noria act catalogue "
            "refresh).",
        )
    ceiling = facts.ceiling_nano
    lend_time(environment.db, rows, ceiling, environment.take_in)
    now = environment.pace.clock()
    span_id = new_span_id()
    trace_id = new_trace_id(span_id)
    hold = StandingHold(
        span_id, trace_id, f"act {plan.request}"[:200], now, ceiling, account, holder_of(plan.id)
    )
    try:
        with environment.db.write() as connection:
            connection.execute(
                insert(action_runs).values(
                    plan_id=plan.id,
                    hash=plan.hash,
                    status=str(RunStatus.APPLYING),
                    reason="",
                    begun_ns=now,
                    person=person.name,
                    deadline_ns=now + plan.time_to_live_s * _SECOND,
                    span_id=span_id,
                    trace_id=trace_id,
                    ceiling_nano=ceiling,
                    accelerator_seconds=facts.accelerator_seconds,
                )
            )
            use_approvals(connection, stored, decision, now)
            hold_standing(connection, hold, rows)
            append_entry(
                connection, plan.id, now, "begin", None,
                {"hash": plan.hash, "person": person.name, "rule": decision.rule,
                 "ceiling_nano": ceiling},
            )  # fmt: skip
    except IntegrityError:
        _refuse_second(True, plan)
    except OverBudget as over:
        budget = over.budget
        of = f"{budget.subject} {budget.name}".strip()
        raise NoriaError(
            f"The plan {plan.id} can cost {ceiling / 1e9:.2f} USD, which the budget of {of} "
            f"({budget.budget}) has not left.",
            "Narrow the plan (noria act approve --narrow), shorten its time to live, or raise the "
            "budget.",
        ) from None


def _refuse_second(applied: bool, plan: Plan) -> None:
    if applied:
        raise NoriaError(
            f"The plan {plan.id} was applied already; a plan is carried out once.",
            f"noria act status {plan.id}; noria act resume {plan.id} goes on with what stopped.",
        )


def _check_versions(environment: Environment, plan: Plan) -> None:
    """Refuse a plan that was made from another documentation, or from other offers."""
    used = {environment.operation(call.operation).catalogue for call in plan.calls}
    for catalogue in sorted(used):
        if plan.versions.get(catalogue) != environment.known.version(catalogue):
            raise NoriaError(
                f"The catalogue {catalogue} has changed since the plan {plan.id} was made.",
                "Make the plan again; what was signed is not what would be done.",
            )


def _check_offers(environment: Environment, plan: Plan, facts: PlanFacts) -> None:
    """Refuse a plan whose offers are gone, or have another price, at this moment."""
    for place, (call, fact) in enumerate(zip(plan.calls, facts.calls, strict=True)):
        if not fact.count or not fact.region or not fact.instance_type:
            continue
        if call.price_hour_nano != fact.price_hour_nano:
            raise NoriaError(_priced(plan, place, call.price_hour_nano, fact.price_hour_nano))
        provider = environment.provider(fact.provider)
        try:
            offer = provider.offer(fact.region, fact.instance_type)
        except ProviderError as failed:
            raise NoriaError(
                f"{provider.name} does not say whether {fact.instance_type} is to be had in "
                f"{fact.region}: {failed.message}",
                "Try again.",
            ) from None
        if offer is None:
            raise NoriaError(
                f"There is no {fact.instance_type} in {fact.region} any more.",
                "Make the plan again; it offers what there is.",
            )
        if offer.price_hour_nano is not None:
            now = offer.price_hour_nano * fact.count
            if now != call.price_hour_nano:
                raise NoriaError(_priced(plan, place, call.price_hour_nano, now))


def _priced(plan: Plan, place: int, signed: int, now: int) -> str:
    return (
        f"Call {place + 1} of the plan {plan.id} costs {now / 1e9:.4f} USD an hour now, not "
        f"{signed / 1e9:.4f}. Make the plan again."
    )


def _dry_run(environment: Environment, plan: Plan) -> None:
    """Ask providers whether the calls are permitted, where all their arguments are known.

    A yes proves permission only: offers say what can be had.
    """
    for place, call in enumerate(plan.calls):
        if calls_named(call.arguments):
            continue
        operation = environment.operation(call.operation)
        try:
            said = environment.provider(operation.provider).dry_run(operation, call.arguments)
        except ProviderError as failed:
            raise NoriaError(f"{operation.id}: {failed.message}", "Try again.") from None
        if said.permitted is False:
            raise NoriaError(
                f"Call {place + 1} of the plan {plan.id} ({operation.id}) is not permitted: "
                f"{said.message}",
                "Ask whoever administers the account, or change the credentials.",
            )
