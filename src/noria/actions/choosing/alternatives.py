"""Other ways to have what was asked for: each priced, each from an offer of the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from noria.actions.choosing.reasons import shared_parts
from noria.actions.choosing.requirements import Requirements
from noria.actions.choosing.resolving import (
    Condition,
    Fit,
    Resolution,
    conditions_of,
    count_for,
    without,
)
from noria.actions.operation import Offer
from noria.actions.plan import PlanStatus

__all__ = ["Option", "alternatives_to"]

_EACH_KIND = 3
"""The most alternatives that differ in one way."""
_OTHERS = 5


@dataclass(frozen=True, slots=True)
class Option:
    """An offer, how many of it, and in what it differs from what was asked for."""

    fit: Fit
    why: str


def alternatives_to(
    wanted: Requirements,
    found: Resolution,
    offers: Sequence[Offer],
    elsewhere: Sequence[Offer] = (),
) -> list[Option]:
    """What could be had instead, the nearest first.

    Where the request can be met these are the other offers that meet it. Where it cannot: the same
    in another region, another accelerator there, another number of accelerators in a machine, a
    name that is written almost so, and another provider's.

    Args:
        wanted: the requirements.
        found: what the offers said to them.
        offers: those that the request is about.
        elsewhere: further ones, of which another provider's may be: the simulator's.
    """
    if found.status is not PlanStatus.REFUSED:
        return [Option(fit, _how(fit, found)) for fit in found.others[:_OTHERS]]
    priced = [offer for offer in offers if offer.price_hour_nano is not None]
    options = [
        *_near_names(wanted, priced),
        *_other_regions(wanted, priced),
        *_other_accelerators(wanted, priced),
        *_other_numbers(wanted, priced),
        *_dearer(wanted, found, priced),
        *_other_providers(wanted, priced),
        *_other_providers(wanted, [one for one in elsewhere if one.price_hour_nano is not None]),
    ]
    unique: dict[Fit, Option] = {}
    for option in options:
        unique.setdefault(option.fit, option)
    return list(unique.values())


def _how(fit: Fit, found: Resolution) -> str:
    if found.fit is None:
        return f"in {fit.offer.region}"
    same = fit.offer.instance_type == found.fit.offer.instance_type
    return f"in {fit.offer.region}" if same else f"{fit.offer.instance_type} meets it too"


def _meeting(conditions: Iterable[Condition], offers: Iterable[Offer]) -> list[Offer]:
    left = list(offers)
    for condition in conditions:
        left = [offer for offer in left if condition.holds(offer)]
    return left


def _fit(wanted: Requirements, offer: Offer) -> Fit | None:
    count = count_for(wanted, offer)
    if count is None and wanted.accelerators_in_all and offer.accelerators:
        count = -(-wanted.accelerators_in_all.value // offer.accelerators)
    return Fit(offer, count or 1)


def _cheapest_by(
    key: Callable[[Offer], str],
    wanted: Requirements,
    offers: Iterable[Offer],
    why: Callable[[Offer], str],
    order: Callable[[Option], tuple[object, ...]],
) -> list[Option]:
    """The cheapest offer for each value of `key`, and of these the first ones."""
    best: dict[str, Fit] = {}
    for offer in offers:
        fit = _fit(wanted, offer)
        if fit is not None:
            before = best.get(key(offer))
            if before is None or _rank(fit) < _rank(before):
                best[key(offer)] = fit
    options = [Option(fit, why(fit.offer)) for fit in best.values()]
    return sorted(options, key=order)[:_EACH_KIND]


def _rank(fit: Fit) -> tuple[int, str]:
    return fit.price_hour_nano, fit.offer.instance_type


def _by_price(option: Option) -> tuple[object, ...]:
    return _rank(option.fit)


def _home(wanted: Requirements, offers: Iterable[Offer]) -> set[str]:
    """The providers that the request is about: the one that it names, or those of its region."""
    if wanted.provider is not None:
        return {wanted.provider.value}
    if wanted.regions is not None:
        return {o.provider for o in offers if o.region in wanted.regions.value}
    return {offer.provider for offer in offers}


def _other_regions(wanted: Requirements, offers: list[Offer]) -> list[Option]:
    home = _home(wanted, offers)
    asked = wanted.regions.value if wanted.regions else _unknown_words(wanted, "region")
    found = [
        offer
        for offer in _meeting(without(wanted, "region"), offers)
        if offer.provider in home and offer.region not in asked
    ]
    if any(unknown.kind != "region" for unknown in wanted.unknown):
        return []

    def order(option: Option) -> tuple[object, ...]:
        near = max((shared_parts(option.fit.offer.region, name) for name in asked), default=0)
        return -near, *_rank(option.fit), option.fit.offer.region

    return _cheapest_by(
        lambda offer: offer.region, wanted, found, lambda o: f"in {o.region}", order
    )


def _unknown_words(wanted: Requirements, kind: str) -> tuple[str, ...]:
    return tuple(unknown.word for unknown in wanted.unknown if unknown.kind == kind)


def _other_accelerators(wanted: Requirements, offers: list[Offer]) -> list[Option]:
    """The same number of another accelerator, in the region that was asked for."""
    unknown = _unknown_words(wanted, "accelerator") or _unknown_words(wanted, "instance type")
    if wanted.accelerator is None and wanted.instance_types is None and not unknown:
        return []
    if wanted.regions is None:
        return []
    names = ("accelerator", "instance type", "accelerator memory")
    found = [
        offer
        for offer in _meeting(without(wanted, *names), offers)
        if offer.accelerator
        and (wanted.accelerator is None or offer.accelerator != wanted.accelerator.value)
    ]
    return _cheapest_by(
        lambda offer: offer.accelerator,
        wanted,
        found,
        lambda o: f"{o.accelerators} x {o.accelerator} in {o.region}",
        _by_price,
    )


def _other_numbers(wanted: Requirements, offers: list[Offer]) -> list[Option]:
    """The same accelerator there, but another number of it in a machine, or of another memory."""
    if wanted.accelerator is None:
        return []
    names = ("accelerators", "accelerators in all", "accelerator memory", "instance type")
    found = _meeting(without(wanted, *names), offers)
    return _cheapest_by(
        lambda offer: f"{offer.accelerators} {offer.accelerator_memory_gib}",
        wanted,
        found,
        lambda o: f"{o.accelerators} x {o.accelerator} {o.accelerator_memory_gib} GiB in a machine",
        _by_price,
    )


def _near_names(wanted: Requirements, offers: list[Offer]) -> list[Option]:
    """What the request means if a name that no offer knows was meant to be one that is near."""
    options: list[Option] = []
    fields = {"region": "region", "instance type": "instance_type", "accelerator": "accelerator"}
    if len(wanted.unknown) != 1:
        return []
    unknown = wanted.unknown[0]
    for name in unknown.near:
        having = [o for o in offers if getattr(o, fields[unknown.kind]) == name]
        found = _meeting(conditions_of(wanted), having)
        options += _cheapest_by(
            lambda _: "", wanted, found, lambda _, name=name: f"'{name}' for '{unknown.word}'",  # type: ignore[misc]
            _by_price,
        )  # fmt: skip
    return options


def _dearer(wanted: Requirements, found: Resolution, offers: list[Offer]) -> list[Option]:
    """What meets all but the price that was said."""
    if found.failed != "price_hour_nano":
        return []
    return _cheapest_by(
        lambda offer: offer.instance_type,
        wanted,
        _meeting(conditions_of(wanted), offers),
        lambda _: "costs more than was said",
        _by_price,
    )


def _other_providers(wanted: Requirements, offers: list[Offer]) -> list[Option]:
    home = _home(wanted, offers)
    found = [
        offer
        for offer in _meeting(without(wanted, "region", "provider", "instance type"), offers)
        if offer.provider not in home
        and (offer.accelerator or wanted.accelerator is None)
        and (wanted.accelerator or wanted.vcpus or wanted.memory_gib)
    ]
    return _cheapest_by(
        lambda offer: offer.provider,
        wanted,
        found,
        lambda o: f"{o.provider} in {o.region}",
        _by_price,
    )
