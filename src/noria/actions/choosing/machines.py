"""Plans for machines, from a request's words and the offers alone: no model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from noria.actions.choosing.alternatives import alternatives_to
from noria.actions.choosing.assembling import (
    DEFAULT_TIME_TO_LIVE_S,
    alternative_of,
    call_of_fit,
    make_plan,
    operation_for,
)
from noria.actions.choosing.documented import Documented
from noria.actions.choosing.requirements import Requirements, read_requirements
from noria.actions.choosing.resolving import Fit, Resolution, resolve
from noria.actions.choosing.vocabulary import PROVIDERS, Vocabulary
from noria.actions.operation import Offer, Operation, Source
from noria.actions.plan import Alternative, Plan, PlannedCall, PlanStatus

__all__ = ["Market", "plan_machines"]

_MOST_COUNT = 10_000
_SIMULATOR = "sim"
_SPOKEN = frozenset(name for name, provider in PROVIDERS.items() if provider == _SIMULATOR)


class Market:
    """The offers of a catalogue, with their names.

    Those of the simulator are for trying out. They are taken where the request names it, or names
    what only it has; else they would stand beside those of real clouds, and cost nothing.

    Args:
        offers: all of them.
    """

    def __init__(self, offers: Sequence[Offer]) -> None:
        real = [offer for offer in offers if offer.provider != _SIMULATOR]
        self._all = offers, Vocabulary.of(offers)
        self._simulated = [offer for offer in offers if offer.provider == _SIMULATOR]
        self._real = (real, Vocabulary.of(real)) if real else self._all

    def read(self, request: str) -> tuple[Sequence[Offer], list[Requirements] | None]:
        """The offers that a request is about, and what it requires of them."""
        offers, vocabulary = self._real
        groups = read_requirements(request, vocabulary)
        if self._real is self._all:
            return offers, groups
        everything = read_requirements(request, self._all[1])
        named = any(word.strip(".,;:!?") in _SPOKEN for word in request.lower().split())
        strange = groups is None or any(one.unknown for one in groups)
        understood = everything is not None and not any(one.unknown for one in everything)
        if named or (strange and understood):
            return self._all[0], everything
        return offers, groups

    def beside(self, offers: Sequence[Offer]) -> Sequence[Offer]:
        """The simulator's, where a request is not about them."""
        return [] if offers is self._all[0] else self._simulated


def plan_machines(request: str, catalogue: Documented, market: Market | None = None) -> Plan | None:
    """Plan a request for machines.

    Args:
        request: the words.
        catalogue: the operations and the offers.
        market: its offers, if they are read already.

    Returns:
        None where the request is about something else: a model may know what.
    """
    market = market or Market(catalogue.offers())
    offers, groups = market.read(request)
    if groups is None or not offers:
        return None
    operations = [one for one in catalogue.operations() if one.starts]
    lasting = next((one.time_to_live_s for one in groups if one.time_to_live_s), None)
    time_to_live = lasting.value if lasting else DEFAULT_TIME_TO_LIVE_S
    assumptions = (
        [] if lasting else [f"It ends after {time_to_live // 3600} h: nothing else is said."]
    )
    parts = [
        _Part(one, resolve(one, offers), offers, market, operations, time_to_live) for one in groups
    ]
    calls: list[PlannedCall] = []
    reasons: dict[PlanStatus, list[str]] = {PlanStatus.REFUSED: [], PlanStatus.ASKS: []}
    for part in parts:
        status, reason, call = part.call(len(calls))
        if call is not None:
            calls.append(call)
            assumptions += part.assumptions
        else:
            reasons[status].append(reason)
    for status in (PlanStatus.REFUSED, PlanStatus.ASKS):
        if reasons[status]:
            others = [one for part in parts if part.open for one in part.alternatives()]
            return make_plan(
                request,
                catalogue,
                status,
                " ".join(reasons[status]),
                alternatives=others,
                time_to_live_s=time_to_live,
                assumptions=assumptions,
            )
    alone = parts[0].alternatives() if len(parts) == 1 else []
    return make_plan(
        request,
        catalogue,
        PlanStatus.READY,
        calls=calls,
        alternatives=alone,
        time_to_live_s=time_to_live,
        assumptions=assumptions,
    )


class _Part:
    """One group of machines of a request."""

    def __init__(
        self,
        wanted: Requirements,
        found: Resolution,
        offers: Sequence[Offer],
        market: Market,
        operations: Sequence[Operation],
        time_to_live_s: int,
    ) -> None:
        self.wanted = wanted
        self.found = found
        self.open = True
        """It has no call: its alternatives are of use."""
        self.assumptions: list[str] = []
        self._offers = offers
        self._elsewhere = market.beside(offers)
        self._operations = operations
        self._time_to_live = time_to_live_s

    def call(self, place: int) -> tuple[PlanStatus, str, PlannedCall | None]:
        """Its call, or why there is none."""
        found = self.found
        if found.fit is None:
            return found.status, found.reason, None
        offer = found.fit.offer
        if found.fit.count > _MOST_COUNT:
            reason = f"{found.fit.count} machines are more than one plan may have ({_MOST_COUNT})."
            return PlanStatus.REFUSED, reason, None
        operation = operation_for(offer, self._operations)
        if operation is None:
            reason = f"No operation of the catalogue starts machines of {offer.provider}."
            return PlanStatus.REFUSED, reason, None
        call, missing = call_of_fit(found.fit, operation, self._sources(found.fit))
        if missing:
            return PlanStatus.ASKS, f"{operation.id} needs: {', '.join(missing)}.", None
        self.open = False
        if found.others:
            kinds = {fit.offer.instance_type for fit in found.others} - {offer.instance_type}
            if kinds:
                self.assumptions.append(
                    f"{offer.instance_type} is the cheapest of {len(kinds) + 1} types that fit."
                )
        if self.wanted.afterwards and place:
            call = replace(call, after=(place - 1,))
        return PlanStatus.READY, "", call

    def alternatives(self) -> list[Alternative]:
        """Other ways to have it."""
        return [
            alternative_of(option, self._operations, self._kept_sources(), self._time_to_live)
            for option in alternatives_to(self.wanted, self.found, self._offers, self._elsewhere)
        ]

    def _sources(self, fit: Fit) -> dict[str, Source]:
        wanted, sources = self.wanted, self._kept_sources()
        if wanted.instance_types is not None and len(wanted.instance_types.value) == 1:
            sources["instance_type"] = wanted.instance_types.source
        if wanted.regions is not None and len(wanted.regions.value) == 1:
            sources["region"] = wanted.regions.source
        elif self.found.region_source is not None:
            sources["region"] = self.found.region_source
        return sources

    def _kept_sources(self) -> dict[str, Source]:
        """Those of what stays as it was asked for, whatever the offer."""
        counted = self.wanted.count or self.wanted.accelerators_in_all
        return {"count": counted.source} if counted is not None else {}
