"""What a policy looks at: of each call who carries it out, where, how much of it, at what price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from noria.actions.operation import Effect, Offer, Operation
from noria.actions.plan import Plan, PlannedCall, Reversibility
from noria.errors import NoriaError

__all__ = ["CallFacts", "Known", "PlanFacts", "facts_of"]

_REGIONS = (
    "region", "region_name", "regionname", "region_id", "regionid", "location", "zone",
    "availability_zone", "availabilityzone",
)  # fmt: skip
_HOUR = 3600


class Known(Protocol):
    """What plans need of a catalogue."""

    def operations(self) -> Sequence[Operation]:
        """All of them, of those that the reader may see."""
        ...

    def offers(self) -> Sequence[Offer]:
        """What can be had, where, and at what price."""
        ...

    def version(self, catalogue: str) -> str:
        """The content hash of a catalogue."""
        ...


@dataclass(frozen=True, slots=True)
class CallFacts:
    """One call. What is None is not known before the call is made, which counts as the worst."""

    operation: str
    effect: Effect
    provider: str
    irreversible: bool
    region: str | None
    """None where it is not known; empty where the call has none."""
    instance_type: str | None
    """As `region`."""
    count: int | None
    """How many are started; 0 where it starts nothing that offers describe."""
    accelerators: int
    """In all of them together."""
    price_known: bool
    offer: Offer | None
    price_hour_nano: int
    """Of all of them, as the catalogue says it now."""


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """A plan's calls, and what it comes to."""

    calls: tuple[CallFacts, ...]
    price_hour_nano: int
    ceiling_nano: int
    accelerator_seconds: int
    """Until the time to live ends."""

    @property
    def price_known(self) -> bool:
        """Whether every call's price is known."""
        return all(call.price_known for call in self.calls)


def facts_of(plan: Plan, known: Known) -> PlanFacts:
    """The facts of a plan, from the catalogue and not from what the plan says of itself.

    Raises:
        NoriaError: an operation of the plan is not in the catalogue.
    """
    operations = {operation.id: operation for operation in known.operations()}
    offers: dict[tuple[str, str], list[Offer]] = {}
    for offer in known.offers():
        offers.setdefault((offer.provider, offer.instance_type), []).append(offer)
    calls = []
    for call in plan.calls:
        operation = operations.get(call.operation)
        if operation is None:
            raise NoriaError(
                f"The plan {plan.id} calls {call.operation}, which is in no catalogue.",
                "Add its catalogue again (noria act catalogue add), or make a new plan.",
            )
        calls.append(_facts(call, operation, offers))
    price = sum(call.price_hour_nano for call in calls)
    return PlanFacts(
        tuple(calls),
        price,
        max(plan.ceiling_nano, -(-price * plan.time_to_live_s // _HOUR)),
        sum(call.accelerators for call in calls) * plan.time_to_live_s,
    )


def _facts(
    call: PlannedCall, operation: Operation, offers: dict[tuple[str, str], list[Offer]]
) -> CallFacts:
    region = _argument(call, operation.starts.get("region"))
    if not operation.starts.get("region"):
        region = next(
            (
                value if isinstance(value, str) else None
                for name, value in call.arguments.items()
                if name.lower() in _REGIONS
            ),
            "",
        )
    effect, irreversible = operation.effect, call.reversibility is Reversibility.IRREVERSIBLE
    if effect is not Effect.READ and operation.undo is None and not operation.starts:
        irreversible = True
    if not operation.starts:
        return CallFacts(
            operation.id, effect, operation.provider, irreversible, region, "", 0, 0, True, None, 0
        )
    kind = _argument(call, operation.starts.get("instance_type"))
    count = _count(call, operation.starts.get("count"))
    offer = next(
        (
            one
            for one in offers.get((operation.provider, kind or ""), ())
            if region in ("", None, one.region)
        ),
        None,
    )
    if offer is not None and region == "":
        region = offer.region
    price = offer.price_hour_nano if offer is not None else None
    return CallFacts(
        operation.id,
        effect,
        operation.provider,
        irreversible,
        region,
        kind,
        count,
        (offer.accelerators if offer else 0) * (count or 0),
        price is not None and count is not None,
        offer,
        (price or 0) * (count or 0),
    )


def _argument(call: PlannedCall, name: str | None) -> str | None:
    value: Any = call.arguments.get(name, "") if name else ""
    return value if isinstance(value, str) else None


def _count(call: PlannedCall, name: str | None) -> int | None:
    value: Any = call.arguments.get(name, 1) if name else 1
    return value if isinstance(value, int) and not isinstance(value, bool) else None
