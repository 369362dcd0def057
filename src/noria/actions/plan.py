"""A plan: calls that a person can read, price and sign, bound by one hash."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import asdict, dataclass, field
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

    An argument may refer to the result of an earlier call: `{"$call": 0, "path": "..."}`.
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
