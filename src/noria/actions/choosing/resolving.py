"""Requirements against the offers: what fits, or which word cannot be met and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from noria.actions.choosing.reasons import listed, shown, unknown_name, why_not
from noria.actions.choosing.requirements import Requirements, Wanted
from noria.actions.operation import Offer, Source
from noria.actions.plan import PlanStatus

__all__ = ["Condition", "Fit", "Resolution", "conditions_of", "count_for", "resolve", "without"]


@dataclass(frozen=True, slots=True)
class Fit:
    """An offer that meets the requirements, and how many of it they mean."""

    offer: Offer
    count: int

    @property
    def price_hour_nano(self) -> int:
        """Of all of them. Only of an offer whose price is known."""
        assert self.offer.price_hour_nano is not None
        return self.offer.price_hour_nano * self.count


@dataclass(frozen=True, slots=True)
class Condition:
    """One requirement as a test of an offer."""

    name: str
    words: str
    """The words of the request."""
    holds: Callable[[Offer], bool]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the offers say to requirements."""

    status: PlanStatus
    reason: str = ""
    fit: Fit | None = None
    others: tuple[Fit, ...] = ()
    """What meets the requirements as well, the cheapest first."""
    region_source: Source | None = None
    """Why this region, where the request does not name it."""
    failed: str = ""
    """The name of the requirement that cannot be met."""


def resolve(wanted: Requirements, offers: Sequence[Offer]) -> Resolution:
    """Find the cheapest offer that meets all requirements.

    Nothing is taken in place of what was asked for: a name that no offer knows, a region that has
    not the accelerator, a count that no machine has, and a price that nobody knows are refused.
    """
    if wanted.unclear:
        said = "; ".join(f"'{words}'" for words in wanted.unclear)
        return _asks(f"Not understood: {said}. Say what is wanted without it.")
    if wanted.unknown:
        return _refused(" ".join(map(unknown_name, wanted.unknown)), wanted.unknown[0].kind)
    if (impossible := _impossible_split(wanted)) is not None:
        return impossible
    left: Sequence[Offer] = offers
    for condition in conditions_of(wanted):
        kept = [offer for offer in left if condition.holds(offer)]
        if not kept:
            return _refused(
                why_not(condition.name, condition.words, wanted, left, offers), condition.name
            )
        left = kept
    if not _says_what(wanted):
        return _asks(
            "Which machines? Name an instance type, an accelerator, or the vCPUs and memory."
        )
    if wanted.count is None and wanted.accelerators_in_all is None:
        return _asks("How many machines?", _fits(wanted, left, 1))
    fits = _fits(wanted, left)
    if not fits:
        names = listed(sorted({offer.instance_type for offer in left}))
        return _refused(
            f"'{_region_words(wanted)}' cannot be met: the price of {names} there is unknown, so "
            "no ceiling can be promised.",
            "price",
        )
    if wanted.price_hour_nano is not None:
        cap = wanted.price_hour_nano
        if fits[0].price_hour_nano > cap.value:
            cheapest = shown(fits[0].count, fits[0].offer)
            return _refused(
                f"'{cap.source.text}' cannot be met: the cheapest that fits is {cheapest}.",
                "price_hour_nano",
            )
        fits = [fit for fit in fits if fit.price_hour_nano <= cap.value]
    return _placed(wanted, fits)


def _placed(wanted: Requirements, fits: list[Fit]) -> Resolution:
    """The cheapest, where the region is said, left open, or the only one."""
    regions = sorted({(fit.offer.provider, fit.offer.region) for fit in fits})
    source = None
    if wanted.regions is None:
        if wanted.anywhere is not None:
            source = wanted.anywhere.source
        elif len(regions) == 1:
            source = Source("catalogue", f"the only region that has it is {regions[0][1]}")
        else:
            cheapest = [next(f for f in fits if _place(f) == place) for place in regions]
            cheapest.sort(key=_order)
            names = listed([fit.offer.region for fit in cheapest])
            return _asks(f"In which region? It is to be had in {names}.", cheapest)
    elif len(wanted.regions.value) > 1:
        source = Source(
            wanted.regions.source.kind,
            f"{wanted.regions.source.text}: the cheapest of these",
            wanted.regions.source.where,
        )
    return Resolution(PlanStatus.READY, "", fits[0], tuple(fits[1:]), source)


def _place(fit: Fit) -> tuple[str, str]:
    return fit.offer.provider, fit.offer.region


def _order(fit: Fit) -> tuple[int, str, str]:
    return fit.price_hour_nano, fit.offer.instance_type, fit.offer.region


def _fits(wanted: Requirements, offers: Sequence[Offer], count: int | None = None) -> list[Fit]:
    """Those with a known price, the cheapest first."""
    fits = []
    for offer in offers:
        number = count_for(wanted, offer) or count
        if number and offer.price_hour_nano is not None:
            fits.append(Fit(offer, number))
    return sorted(fits, key=_order)


def count_for(wanted: Requirements, offer: Offer) -> int | None:
    """How many machines of an offer the requirements mean; None where that cannot be said."""
    if wanted.count is not None:
        return wanted.count.value
    if wanted.accelerators_in_all is None or not offer.accelerators:
        return None
    machines, rest = divmod(wanted.accelerators_in_all.value, offer.accelerators)
    return machines if not rest else None


def without(wanted: Requirements, *names: str) -> list[Condition]:
    """The conditions but those of these names."""
    return [one for one in conditions_of(wanted) if one.name not in names]


def conditions_of(wanted: Requirements) -> list[Condition]:
    """The requirements as tests, the region last: what fails there fails in that place alone."""
    found: list[Condition] = []

    def add(name: str, value: Wanted[Any] | None, holds: Callable[[Offer], bool]) -> None:
        if value is not None:
            found.append(Condition(name, value.source.text, holds))

    if (provider := wanted.provider) is not None:
        add("provider", provider, lambda offer: offer.provider == provider.value)
    if (types := wanted.instance_types) is not None:
        add("instance type", types, lambda offer: offer.instance_type in types.value)
    if (card := wanted.accelerator) is not None:
        add("accelerator", card, lambda offer: offer.accelerator == card.value)
    elif wanted.any_accelerator:
        found.append(Condition("accelerator", "GPU", lambda offer: offer.accelerators > 0))
    if (each := wanted.accelerators) is not None:
        add("accelerators", each, lambda offer: offer.accelerators == each.value)
    if (memory := wanted.accelerator_memory_gib) is not None:
        add(
            "accelerator memory",
            memory,
            lambda offer: _about(offer.accelerator_memory_gib, memory.value),
        )
    if (cpus := wanted.vcpus) is not None:
        add("vcpus", cpus, lambda offer: offer.vcpus >= cpus.value)
    if (gib := wanted.memory_gib) is not None:
        add("memory", gib, lambda offer: Decimal(offer.memory_gib) >= gib.value)
    if (total := wanted.accelerators_in_all) is not None:
        add("accelerators in all", total, lambda offer: _shares(wanted, total.value, offer))
    if (regions := wanted.regions) is not None:
        add("region", regions, lambda offer: offer.region in regions.value)
    return found


def _shares(wanted: Requirements, total: int, offer: Offer) -> bool:
    if wanted.count is not None:
        return offer.accelerators * wanted.count.value == total
    return bool(offer.accelerators) and total % offer.accelerators == 0


def _about(have: float, wanted: Decimal) -> bool:
    """GB and GiB, and what a driver keeps for itself, differ by less than a tenth."""
    return abs(Decimal(have) - wanted) * 10 <= wanted


def _impossible_split(wanted: Requirements) -> Resolution | None:
    if wanted.count is None or wanted.accelerators_in_all is None:
        return None
    count, total = wanted.count, wanted.accelerators_in_all
    if total.value % count.value == 0:
        return None
    return _refused(
        f"'{total.source.text}' cannot be met: {total.value} cannot be shared evenly among "
        f"{count.value} machines.",
        "accelerators in all",
    )


def _says_what(wanted: Requirements) -> bool:
    return bool(
        wanted.instance_types
        or wanted.accelerator
        or wanted.any_accelerator
        or wanted.accelerators
        or wanted.vcpus
        or wanted.memory_gib
    )


def _asks(question: str, options: Sequence[Fit] = ()) -> Resolution:
    return Resolution(PlanStatus.ASKS, question, None, tuple(options))


def _refused(why: str, failed: str) -> Resolution:
    return Resolution(PlanStatus.REFUSED, why, failed=failed)


def _region_words(wanted: Requirements) -> str:
    return wanted.regions.source.text if wanted.regions is not None else "the request"
