"""Applying a plan, going on after a crash, undoing, and ending what was forgotten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from noria.actions.plan import Plan
from noria.actions.plans.person import Person
from noria.actions.plans.store import StoredPlan, find_plan
from noria.actions.provider import ProviderError
from noria.actions.running.admission import begin
from noria.actions.running.calling import CallFailed, OutcomeUnknown, make_call
from noria.actions.running.claim import claimed
from noria.actions.running.environment import Environment
from noria.actions.running.journal import Entry
from noria.actions.running.observing import observe
from noria.actions.running.references import calls_named
from noria.actions.running.resources import cost_of, resources_of
from noria.actions.running.runs import Run, RunStatus, find_run, list_runs, set_status
from noria.actions.running.settling import settle
from noria.actions.running.undoing import Undone, take_back
from noria.errors import HomeBusy, NoriaError

__all__ = ["Reaped", "Runner"]

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Reaped:
    """A run that was ended since its time was up."""

    plan_id: str
    status: RunStatus
    reason: str


class Runner:
    """Carries plans out.

    Args:
        environment: what it works with.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def apply(self, stored: StoredPlan, person: Person) -> Run:
        """Carry a plan out.

        Returns:
            Its run: `running` or `done`, or `partial` where a call has failed, or `stuck` where
            nobody can tell whether one was carried out.

        Raises:
            NoriaError: it may not be carried out; nothing has happened.
        """
        with claimed(self._environment.db, stored.plan.id):
            begin(self._environment, stored, person)
            return self._go_on(stored.plan)

    def resume(self, plan_id: str) -> Run:
        """Go on with a run that has stopped, however it did.

        Raises:
            NotFound: the plan was never applied.
            HomeBusy: somebody works on it.
        """
        plan = find_plan(self._environment.db, plan_id).plan
        run = find_run(self._environment.db, plan.id)
        if run.status.over:
            return run
        with claimed(self._environment.db, plan.id):
            run = find_run(self._environment.db, plan.id)
            if run.status is RunStatus.UNDOING:
                return self._undo(plan, run, expired=False)
            if run.status in (RunStatus.APPLYING, RunStatus.PARTIAL, RunStatus.STUCK):
                set_status(self._environment.db, plan.id, RunStatus.APPLYING)
                return self._go_on(plan)
            return run

    def undo(self, plan_id: str) -> Run:
        """Take a run back, whatever state it is in.

        Returns:
            The run: `undone`, or `partial` with the reason where something could not be ended.

        Raises:
            NotFound: the plan was never applied.
            HomeBusy: somebody works on it.
        """
        plan = find_plan(self._environment.db, plan_id).plan
        run = find_run(self._environment.db, plan.id)
        if run.status in (RunStatus.UNDONE, RunStatus.EXPIRED):
            return run
        with claimed(self._environment.db, plan.id):
            return self._undo(plan, find_run(self._environment.db, plan.id), expired=False)

    def reap(self) -> list[Reaped]:
        """End every run whose time to live is over, or that has cost as much as it may."""
        ended = []
        for run in list_runs(self._environment.db, over=False):
            if not self._is_overdue(run):
                continue
            plan = find_plan(self._environment.db, run.plan_id).plan
            try:
                with claimed(self._environment.db, plan.id):
                    now = self._undo(plan, find_run(self._environment.db, plan.id), expired=True)
            except HomeBusy:
                continue  # whoever works on it looks at the time as well
            except (NoriaError, ProviderError) as failed:
                ended.append(Reaped(plan.id, run.status, str(failed)))
                continue
            ended.append(Reaped(plan.id, now.status, now.reason))
        return ended

    def cost_until_now(self, run: Run) -> int:
        """What a run has cost until now, in nano-dollars."""
        if run.cost_nano is not None:
            return run.cost_nano
        made = resources_of(self._environment.db, run.plan_id)
        return cost_of(made, self._environment.meterings, self._environment.pace.clock())

    def _is_overdue(self, run: Run) -> bool:
        if self._environment.pace.clock() >= run.deadline_ns:
            return True
        return bool(run.ceiling_nano) and self.cost_until_now(run) >= run.ceiling_nano

    def _go_on(self, plan: Plan) -> Run:
        """Make the calls that are not made yet, those that need no other at the same time."""
        environment = self._environment
        before = environment.journal(plan.id).entries()
        results: dict[int, Any] = {}
        waiting = dict(enumerate(plan.calls))
        failed: list[str] = []
        status = RunStatus.RUNNING
        while waiting and not failed:
            if environment.pace.clock() >= find_run(environment.db, plan.id).deadline_ns:
                failed.append("its time to live is over")
                status = RunStatus.PARTIAL
                break
            ready = [
                place
                for place, call in waiting.items()
                if {*call.after, *calls_named(call.arguments)} <= results.keys()
            ]
            if not ready:
                raise NoriaError(f"The calls of the plan {plan.id} wait for each other.")
            for place in ready:
                del waiting[place]

            if len(ready) == 1:
                outcomes = [self._attempt(plan, ready[0], results, before)]
            else:
                with ThreadPoolExecutor(min(_AT_ONCE, len(ready))) as threads:
                    started = [
                        threads.submit(self._attempt, plan, place, results, before)
                        for place in ready
                    ]
                outcomes = [one.result() for one in started]
            for place, outcome in zip(ready, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    failed.append(f"call {place + 1}: {outcome}")
                    lost = isinstance(outcome, OutcomeUnknown)
                    worse = RunStatus.STUCK if lost else RunStatus.PARTIAL
                    status = max(status, worse, key=_GRAVITY.index)
                else:
                    results[place] = outcome
        return self._after(plan, status, "; ".join(failed))

    def _attempt(
        self, plan: Plan, place: int, results: dict[int, Any], before: list[Entry]
    ) -> dict[str, Any] | CallFailed | OutcomeUnknown | ProviderError | NoriaError:
        """Make one call, and give its result or why it has none."""
        try:
            return make_call(self._environment, plan, place, results, before)
        except (CallFailed, OutcomeUnknown, ProviderError, NoriaError) as why:
            return why

    def _after(self, plan: Plan, status: RunStatus, reason: str) -> Run:
        environment = self._environment
        lives = any(
            observe(environment, provider, plan) for provider in environment.providers_of(plan)
        )
        if status is RunStatus.RUNNING and not lives and not self._is_kept(plan):
            settle(environment, plan, find_run(environment.db, plan.id), RunStatus.DONE)
        else:
            set_status(environment.db, plan.id, status, reason)
        return find_run(environment.db, plan.id)

    def _is_kept(self, plan: Plan) -> bool:
        """Whether something stands that its time to live must end and that cannot be observed."""
        return any(
            self._environment.operation(call.operation).undo
            and not self._environment.provider_of(plan, place).traits.tags
            for place, call in enumerate(plan.calls)
        )

    def _undo(self, plan: Plan, run: Run, *, expired: bool) -> Run:
        environment = self._environment
        journal = environment.journal(plan.id)
        settled = run.cost_nano is not None
        journal.write("undo", expired=expired)
        if not settled:
            set_status(environment.db, plan.id, RunStatus.UNDOING)
        undone: Undone = take_back(environment, plan, journal.entries())
        reason = "; ".join(
            [
                *undone.not_undone,
                *([f"still there: {', '.join(undone.left)}"] if undone.left else []),
            ]
        )
        status = RunStatus.EXPIRED if expired else RunStatus.UNDONE
        if undone.left:
            set_status(environment.db, plan.id, RunStatus.PARTIAL, reason)
        elif settled:
            set_status(environment.db, plan.id, status, reason)
        else:
            settle(environment, plan, run, status, reason)
        return find_run(environment.db, plan.id)


_GRAVITY = (RunStatus.RUNNING, RunStatus.PARTIAL, RunStatus.STUCK)
