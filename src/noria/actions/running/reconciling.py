"""What is there beside what was planned: drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from noria.actions.provider import Resource
from noria.actions.running.environment import Environment
from noria.actions.running.resources import Made, note_seen, resources_of
from noria.actions.running.runs import list_runs

__all__ = ["Drift", "reconcile"]


@dataclass(frozen=True, slots=True)
class Drift:
    """Something that is not as it was planned."""

    kind: str
    """`missing`: made by a run that goes on, and gone; `left_over`: of a run that is over, and
    still there; `unknown`: with our tags, and in no journal; `changed`: another type or region than
    when it was made; `unplanned`: without our tags, which is never touched."""
    provider: str
    id: str
    plan_id: str | None
    region: str
    what: str

    def as_json(self) -> dict[str, Any]:
        """The drift as programs read it."""
        return {
            "kind": self.kind,
            "provider": self.provider,
            "id": self.id,
            "plan": self.plan_id,
            "region": self.region,
            "what": self.what,
        }


def reconcile(environment: Environment, providers: Sequence[str] | None = None) -> list[Drift]:
    """Compare what providers show with what the journals say. Nothing is changed there.

    Args:
        environment: what runs work with.
        providers: those that are asked; left out, all.

    Raises:
        ProviderError: a provider does not tell.
    """
    runs = {run.plan_id: run for run in list_runs(environment.db)}
    found: list[Drift] = []
    made = {(one.provider, one.id): one for one in resources_of(environment.db)}
    for name in providers if providers is not None else tuple(environment.providers):
        provider = environment.provider(name)
        if not provider.traits.tags:
            continue
        seen = list(provider.observe({}))
        known = [one for one in seen if one.tags.get("noria:plan") in runs]
        known = [one for one in known if one.tags.get("noria:call", "").isdigit()]
        note_seen(
            environment.db,
            [one for one in known if (name, one.id) in made],
            {},
            environment.pace.clock(),
        )
        living = {one.id: one for one in seen if one.lives}
        for one in living.values():
            plan_id = one.tags.get("noria:plan")
            if plan_id is None:
                found.append(_drift("unplanned", one, None, one.kind))
            elif plan_id not in runs:
                found.append(_drift("unplanned", one, plan_id, "of another installation"))
            elif runs[plan_id].status.over:
                found.append(_drift("left_over", one, plan_id, f"{one.kind}, {one.state}"))
            elif (known_as := made.get((name, one.id))) is None:
                found.append(_drift("unknown", one, plan_id, f"{one.kind}, {one.state}"))
            elif difference := _changed(known_as, one):
                found.append(_drift("changed", one, plan_id, difference))
        for (of, id_), thing in made.items():
            run = runs.get(thing.plan_id)
            if of == name and id_ not in living and run is not None and not run.status.over:
                found.append(Drift("missing", name, id_, thing.plan_id, thing.region, thing.kind))
    return found


def _drift(kind: str, resource: Resource, plan_id: str | None, what: str) -> Drift:
    return Drift(kind, resource.provider, resource.id, plan_id, resource.region, what)


def _changed(made: Made, seen: Resource) -> str:
    """In what a resource differs from what was made."""
    parts = []
    if seen.region != made.region:
        parts.append(f"region {made.region} -> {seen.region}")
    before, now = made.details.get("instance_type"), seen.details.get("instance_type")
    if before != now:
        parts.append(f"type {before} -> {now}")
    return ", ".join(parts)
