"""`Desk`: where plans are made, signed and carried out, whoever asks: a program, a model, a person.

Everybody meets the same catalogue, as far as they may see it, and the same policy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from noria.actions.catalogue import Catalogue, Part
from noria.actions.catalogue.meaning import Meaning
from noria.actions.choosing import Ask, Planner
from noria.actions.operation import Effect
from noria.actions.plan import Plan, PlanStatus
from noria.actions.plans.approvals import approvals_of, sign
from noria.actions.plans.person import Person
from noria.actions.plans.store import StoredPlan, find_plan, save_plan
from noria.actions.running.admission import judge
from noria.actions.running.environment import Environment
from noria.actions.running.runner import Runner
from noria.actions.running.runs import Run, find_run
from noria.errors import NoriaError, NotFound

if TYPE_CHECKING:
    from noria.store import Key

__all__ = ["Desk"]

_ALL = frozenset(Effect)


class Desk:
    """Plans of one home.

    Args:
        environment: what plans are judged and carried out with.
        parts: the catalogue, all of it.
        meaning: finds operations by meaning as well; None: by words alone.
    """

    def __init__(
        self, environment: Environment, parts: Sequence[Part], meaning: Meaning | None = None
    ) -> None:
        self.environment = environment
        self._meaning = meaning
        self._parts = tuple(parts)

    @property
    def names(self) -> list[str]:
        """Of the parts of the catalogue."""
        return [part.name for part in self._parts]

    def names_that_start(self) -> list[str]:
        """Of the parts that can start what costs by the hour."""
        return [part.name for part in self._parts if any(one.starts for one in part.operations)]

    def catalogue(self, key: Key, names: Iterable[str] | None = None) -> Catalogue:
        """What the holder of a key may see.

        Args:
            key: whose catalogue it is.
            names: these parts alone.

        Raises:
            NotFound: there is no such part.
        """
        found = Catalogue((part.seen_by(key.principal) for part in self._parts), self._meaning)
        return found if names is None else found.only(names)

    async def plan(
        self,
        request: str,
        key: Key,
        ask: Ask | None,
        *,
        app: str | None = None,
        names: Iterable[str] | None = None,
        effects: frozenset[Effect] = _ALL,
    ) -> StoredPlan:
        """Make the plan of a request and keep it.

        Args:
            request: the words.
            key: on whose behalf.
            ask: asks a model where rules do not understand the words.
            app: the application that asks.
            names: the parts of the catalogue; None: all.
            effects: what its calls may do.

        Raises:
            NoriaError: the request cannot be read.
            ApiError: the model's call was refused or failed.
        """
        catalogue = await asyncio.to_thread(self.catalogue, key, names)
        made = await Planner(catalogue, effects=effects).plan(request, ask)
        person = Person.of(key, app)
        return await asyncio.to_thread(save_plan, self.environment.db, made, person)

    def find(self, name: str) -> StoredPlan:
        """A plan by its id; `ID.NUMBER` is an alternative of one, which is kept when it is asked
        for.

        Raises:
            NotFound: there is none.
        """
        found = find_plan(self.environment.db, name)
        if found.parent is not None and found.plan.id == name:
            save_plan(self.environment.db, found.plan, found.planner, parent=found.parent)
        return found

    def own(self, name: str, key: Key, app: str | None = None) -> StoredPlan:
        """A plan that this very person, by this very application, has made.

        Raises:
            NotFound: there is none: those of others are not shown.
        """
        found = self.find(name)
        if (found.planner.key_id, found.planner.app) != (key.id, app):
            raise NotFound(f"There is no plan {name!r}.", "Make one.")
        return found

    def approve(
        self, name: str, hash_: str, key: Key, *, confirmed: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Sign a plan by its hash.

        Raises:
            NoriaError: it may not be signed, or not by this person.
        """
        stored = self.find(name)
        signed = sign(
            self.environment.db,
            stored,
            hash_,
            Person.of(key),
            judge(self.environment, stored),
            at_ns=time.time_ns(),
            hours=self.environment.settings.approval_hours,
            typed=confirmed,
        )
        return {"plan": stored.plan.id, "hash": signed.hash, "status": "approved"}

    def carry_out(self, stored: StoredPlan, key: Key, app: str | None = None) -> dict[str, Any]:
        """Carry a plan out if the policy lets it pass now, and say what became of it.

        Returns:
            `status` `applied`, `pending` (somebody must sign first), `denied`, `failed`, or that of
            a plan that is not ready.
        """
        plan = stored.plan
        if plan.status is not PlanStatus.READY:
            return _told(plan)
        try:
            return _applied(find_run(self.environment.db, plan.id))
        except NotFound:
            pass
        decision = judge(self.environment, stored)
        if decision.verdict == "deny":
            return _told(plan) | {"status": "denied", "rule": decision.rule}
        if decision.verdict == "needs_approval" and decision.unsigned(
            self._signers(plan), stored.planner
        ):
            waiting = {"status": "pending", "rule": decision.rule}
            return _told(plan) | waiting | {"must_sign": decision.as_json()["must_sign"]}
        try:
            return _applied(Runner(self.environment).apply(stored, Person.of(key, app)))
        except NoriaError as refusal:
            return _told(plan) | {"status": "failed", "reason": refusal.message}

    def _signers(self, plan: Plan) -> list[Person]:
        now = time.time_ns()
        with self.environment.db.read() as connection:
            said = approvals_of(connection, plan.id)
        return [one.person for one in said if one.approved and one.stands(plan, now)]


def _applied(run: Run) -> dict[str, Any]:
    return {
        "plan": run.plan_id,
        "hash": run.hash,
        "status": "applied",
        "run": str(run.status),
        "reason": run.reason,
    }


def _told(plan: Plan) -> dict[str, Any]:
    """A plan as a model is told of it: few words."""
    return {
        "plan": plan.id,
        "hash": plan.hash,
        "status": str(plan.status),
        "reason": plan.reason,
        "calls": [{"operation": c.operation, "arguments": c.arguments} for c in plan.calls],
        "price_hour_nano": plan.price_hour_nano,
        "ceiling_nano": plan.ceiling_nano,
        "alternatives": [
            {
                "plan": f"{plan.id}.{number}",
                "what": f"{one.count} x {one.instance_type} in {one.region} ({one.provider})",
                "price_hour_nano": one.price_hour_nano,
            }
            for number, one in enumerate(plan.alternatives, 1)
        ],
    }
