"""Calls become a plan: priced, with what they touch and whether they can be taken back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from noria.actions.choosing.alternatives import Option
from noria.actions.choosing.documented import Documented
from noria.actions.choosing.resolving import Fit
from noria.actions.operation import Effect, Offer, Operation, Source
from noria.actions.plan import Alternative, Plan, PlannedCall, PlanStatus, Reversibility
from noria.ids import new_span_id

__all__ = ["DEFAULT_TIME_TO_LIVE_S", "alternative_of", "call_of_fit", "ceiling", "make_plan",
           "operation_for", "planned_call", "started_offer"]  # fmt: skip

DEFAULT_TIME_TO_LIVE_S = 3600
_HOUR = 3600


def ceiling(price_hour_nano: int, time_to_live_s: int) -> int:
    """The most that a price an hour comes to until a time to live ends, rounded up."""
    return -(-price_hour_nano * time_to_live_s // _HOUR)


def operation_for(offer: Offer, operations: Iterable[Operation]) -> Operation | None:
    """The operation that starts an offer; None where the catalogue has none."""
    return next((one for one in operations if one.starts and one.provider == offer.provider), None)


def reversibility_of(operation: Operation) -> Reversibility:
    """Whether what an operation does can be taken back."""
    if operation.effect is Effect.READ:
        return Reversibility.NOTHING_TO_UNDO
    return Reversibility.REVERSIBLE if operation.undo else Reversibility.IRREVERSIBLE


def planned_call(
    operation: Operation,
    arguments: Mapping[str, Any],
    sources: Mapping[str, Source],
    offer: Offer | None = None,
    after: tuple[int, ...] = (),
) -> PlannedCall:
    """A call of a plan. Where it starts an offer, its price is the offer's times the count."""
    price, touches = 0, _named(operation, arguments)
    if offer is not None:
        count = _count(operation, arguments)
        price = (offer.price_hour_nano or 0) * count
        touches = (f"{count} x {offer.instance_type} in {offer.region} ({offer.provider})",)
    return PlannedCall(
        operation.id,
        dict(arguments),
        dict(sources),
        operation.effect,
        reversibility_of(operation),
        price,
        after,
        touches,
    )


def _count(operation: Operation, arguments: Mapping[str, Any]) -> int:
    value = arguments.get(operation.starts.get("count", ""), 1)
    return value if isinstance(value, int) else 1


def _named(operation: Operation, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """What a call that changes something touches: the texts among its arguments."""
    if operation.effect is Effect.READ:
        return ()
    return tuple(f"{name}={value}" for name, value in arguments.items() if isinstance(value, str))


def started_offer(
    operation: Operation, arguments: Mapping[str, Any], offers: Sequence[Offer]
) -> Offer | None:
    """The offer that a call of an operation starts; None where there is no such offer."""
    region = arguments.get(operation.starts.get("region", ""))
    kind = arguments.get(operation.starts.get("instance_type", ""))
    for offer in offers:
        if (
            offer.provider == operation.provider
            and offer.instance_type == kind
            and region in (None, offer.region)
        ):
            return offer
    return None


def call_of_fit(
    fit: Fit, operation: Operation, sources: Mapping[str, Source]
) -> tuple[PlannedCall, list[str]]:
    """The call that starts what an offer describes.

    Args:
        fit: the offer, and how many.
        operation: what starts it.
        sources: by `region`, `instance_type`, `count`.

    Returns:
        The call, and the parameters that it needs and that nothing gives a value.
    """
    values: dict[str, Any] = {
        "region": fit.offer.region,
        "instance_type": fit.offer.instance_type,
        "count": fit.count,
        "accelerator": fit.offer.accelerator,
    }
    arguments = {}
    named = {}
    for what, parameter in operation.starts.items():
        if values.get(what):
            arguments[parameter] = values[what]
            named[parameter] = sources.get(what) or _of_catalogue(fit.offer)
    schema = operation.parameters
    missing = []
    for name in schema.get("required", ()):
        if name in arguments:
            continue
        described = schema.get("properties", {}).get(name) or {}
        if "default" in described:
            arguments[name] = described["default"]
            named[name] = _default(operation, name)
        else:
            missing.append(name)
    return planned_call(operation, arguments, named, fit.offer), missing


def _of_catalogue(offer: Offer) -> Source:
    cards = f": {offer.accelerators} x {offer.accelerator}" if offer.accelerators else ""
    text = f"{offer.instance_type}{cards} in {offer.region}, price of {offer.as_of}"
    return Source("catalogue", text, f"offers of {offer.provider}")


def _default(operation: Operation, name: str) -> Source:
    return Source("default", f"the default of {name}", f"{operation.id}, parameter {name}")


def alternative_of(
    option: Option,
    operations: Sequence[Operation],
    sources: Mapping[str, Source],
    time_to_live_s: int,
) -> Alternative:
    """An alternative with its call, if the catalogue has an operation that starts it."""
    fit = option.fit
    operation = operation_for(fit.offer, operations)
    calls: tuple[PlannedCall, ...] = ()
    if operation is not None:
        kept = {name: source for name, source in sources.items() if source.kind == "request"}
        kept["instance_type"] = _of_catalogue(fit.offer)
        kept["region"] = _of_catalogue(fit.offer)
        call, missing = call_of_fit(fit, operation, kept)
        calls = () if missing else (call,)
    return Alternative(
        fit.offer.provider,
        fit.offer.region,
        fit.offer.instance_type,
        fit.count,
        fit.price_hour_nano,
        option.why,
        calls,
        ceiling(fit.price_hour_nano, time_to_live_s),
    )


def make_plan(
    request: str,
    catalogue: Documented,
    status: PlanStatus,
    reason: str = "",
    *,
    calls: Sequence[PlannedCall] = (),
    alternatives: Sequence[Alternative] = (),
    time_to_live_s: int = DEFAULT_TIME_TO_LIVE_S,
    assumptions: Sequence[str] = (),
) -> Plan:
    """The plan that these calls make, bound to the documentation that they were chosen from."""
    every = [*calls, *(call for one in alternatives for call in one.calls)]
    names = sorted({call.operation.partition(".")[0] for call in every})
    price = sum(call.price_hour_nano for call in calls)
    return Plan(
        new_span_id(),
        request,
        status,
        reason,
        tuple(calls),
        price,
        ceiling(price, time_to_live_s),
        time_to_live_s,
        tuple(alternatives),
        tuple(assumptions),
        {name: catalogue.version(name) for name in names},
    )
