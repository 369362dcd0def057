"""A plan: calls that a person can read, price and sign, bound by one hash."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson

from noria.actions.operation import Effect, Source

__all__ = ["Alternative", "Plan", "PlanStatus", "PlannedCall", "Reversibility"]


class PlanStatus(enum.StrEnum):
    """Whether a plan can be carried out as it stands."""

    READY = "ready"
    REFUSED = "refused"
    """Something that was asked for is not to be had; the reason says which word."""
    ASKS = "asks"
    """Something is missing; the reason asks for it."""


class Reversibility(enum.StrEnum):
    """Whether what a call did can be taken back."""

    NOTHING_TO_UNDO = "nothing_to_undo"
    REVERSIBLE = "reversible"
    IRREVERSIBLE = "irreversible"


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One call of a plan.

    An argument may be the result of an earlier call: `{"$call": 0, "path": "..."}`.
    """

    operation: str
    """The operation's id, `CATALOGUE.NAME`."""
    arguments: dict[str, Any]
    sources: dict[str, Source]
    """For each argument, why it has its value."""
    effect: Effect
    reversibility: Reversibility
    price_hour_nano: int = 0
    """Of all that this call starts, in nano-dollars an hour."""
    after: tuple[int, ...] = ()
    """The calls that must be done before, by their place; the others may run beside it."""
    touches: tuple[str, ...] = ()
    """What it touches, by name."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another way to have what was asked for, priced; itself a plan."""

    provider: str
    region: str
    instance_type: str
    count: int
    price_hour_nano: int
    why: str
    """In what it differs from what was asked for."""
    calls: tuple[PlannedCall, ...] = ()
    ceiling_nano: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, what it costs at most, and how it is undone. Frozen; bound by `hash`."""

    id: str
    request: str
    """The words that it was made from."""
    status: PlanStatus
    reason: str
    """Why it is refused, or what it asks for; empty where it is ready."""
    calls: tuple[PlannedCall, ...] = ()
    price_hour_nano: int = 0
    ceiling_nano: int = 0
    """The most that it can cost until its time to live ends."""
    time_to_live_s: int = 3600
    alternatives: tuple[Alternative, ...] = ()
    assumptions: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    """Catalogue -> content hash of the documentation and the offers that it was made from."""

    @property
    def hash(self) -> str:
        """SHA-256 over all of its content but its id, in hexadecimal."""
        content = asdict(self)
        del content["id"]
        return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def alternative(self, number: int) -> Plan:
        """One of its alternatives as a plan of its own, counted from 1; its id is `ID.NUMBER`.

        Raises:
            IndexError: there is no such alternative.
        """
        if not 1 <= number <= len(self.alternatives):
            raise IndexError(f"the plan {self.id} has {len(self.alternatives)} alternatives")
        chosen = self.alternatives[number - 1]
        return replace(
            self,
            id=f"{self.id}.{number}",
            status=PlanStatus.READY if chosen.calls else PlanStatus.REFUSED,
            reason="" if chosen.calls else "No operation of the catalogue starts it.",
            calls=chosen.calls,
            price_hour_nano=chosen.price_hour_nano,
            ceiling_nano=chosen.ceiling_nano,
            alternatives=(),
            assumptions=(*self.assumptions, f"In place of what was asked for: {chosen.why}."),
        )

    def as_json(self) -> dict[str, Any]:
        """The plan as programs read it; each alternative is the same, with what it is of."""
        return _as_json(self) | {
            "alternatives": [
                _as_json(self.alternative(number))
                | {
                    "alternatives": [],
                    "provider": one.provider,
                    "region": one.region,
                    "instance_type": one.instance_type,
                    "count": one.count,
                    "why": one.why,
                }
                for number, one in enumerate(self.alternatives, 1)
            ]
        }


def _as_json(plan: Plan) -> dict[str, Any]:
    return {
        "id": plan.id,
        "hash": plan.hash,
        "request": plan.request,
        "status": str(plan.status),
        "reason": plan.reason,
        "calls": [
            {
                "operation": call.operation,
                "arguments": call.arguments,
                "sources": {name: asdict(source) for name, source in call.sources.items()},
                "effect": str(call.effect),
                "reversibility": str(call.reversibility),
                "price_hour_nano": call.price_hour_nano,
                "after": list(call.after),
                "touches": list(call.touches),
            }
            for call in plan.calls
        ],
        "price_hour_nano": plan.price_hour_nano,
        "ceiling_nano": plan.ceiling_nano,
        "time_to_live_s": plan.time_to_live_s,
        "assumptions": list(plan.assumptions),
        "versions": plan.versions,
    }
