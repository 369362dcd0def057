"""Why requirements cannot be met, in words: which of them, and what there is instead."""

from __future__ import annotations

from collections.abc import Sequence

from noria.actions.choosing.requirements import Requirements, Unknown
from noria.actions.operation import Offer
from noria.types import Money

__all__ = ["listed", "shared_parts", "shown", "unknown_name", "why_not"]

_LISTED = 6
"""The most names that a reason lists."""


def unknown_name(unknown: Unknown) -> str:
    """The reason for a name that no offer knows."""
    near = f" Near names: {listed(list(unknown.near))}." if unknown.near else ""
    return f"'{unknown.word}' cannot be met: no offer knows such {_article(unknown.kind)}.{near}"


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def why_not(
    failed: str,
    words: str,
    wanted: Requirements,
    left: Sequence[Offer],
    offers: Sequence[Offer],
) -> str:
    """The reason for one requirement.

    Args:
        failed: its name.
        words: those of the request that require it.
        wanted: all requirements.
        left: the offers that meet the requirements before it.
        offers: all of them.
    """
    begun = f"'{words}' cannot be met: "
    providers = listed(sorted({offer.provider for offer in left}))
    match failed:
        case "region":
            return begun + _why_not_there(wanted, left, offers)
        case "provider":
            known = listed(sorted({offer.provider for offer in offers})) or "nobody"
            return f"{begun}there are no offers of it; there are of {known}."
        case "accelerators" | "accelerators in all":
            counts = sorted({offer.accelerators for offer in left if offer.accelerators})
            name = f"{wanted.accelerator.value}s" if wanted.accelerator else "accelerators"
            return f"{begun}{name} come {_numbers(counts)} to a machine ({providers})."
        case "accelerator memory":
            sizes = sorted({offer.accelerator_memory_gib for offer in left})
            return f"{begun}there are {listed([f'{size} GiB' for size in sizes])} ({providers})."
        case "accelerator" if wanted.instance_types is not None:
            has = {f"{o.accelerators} x {o.accelerator or 'no accelerator'}" for o in left}
            types = wanted.instance_types.source.text
            return f"{begun}{types} has {listed(sorted(has))}."
    return f"{begun}nothing among the offers of {providers} has it."


def _why_not_there(wanted: Requirements, left: Sequence[Offer], offers: Sequence[Offer]) -> str:
    """What a region lacks: the accelerator at all, the number or the memory of it, or the type."""
    assert wanted.regions is not None
    there = [offer for offer in offers if offer.region in wanted.regions.value]
    home = {offer.provider for offer in there}
    place = listed(list(wanted.regions.value), "or")
    as_of = max(offer.as_of for offer in there)
    asked = wanted.regions.value[0]
    having = sorted(
        {offer.region for offer in left if offer.provider in home},
        key=lambda name: (-shared_parts(name, asked), name),
    )
    others = sorted({offer.region for offer in left if offer.provider not in home})
    elsewhere = f"; it has in {listed(having)}" if having else ""
    if others and not having:
        elsewhere = f"; others have in {listed(others)}"
    lacking = _lacking(wanted, there)
    return f"{listed(sorted(home))} has no {lacking} in {place} (offers of {as_of}){elsewhere}."


def _lacking(wanted: Requirements, there: Sequence[Offer]) -> str:
    if wanted.instance_types is not None:
        return wanted.instance_types.source.text
    if wanted.accelerator is None:
        return "such machine"
    name = wanted.accelerator.value
    same = [offer for offer in there if offer.accelerator == name]
    counts = sorted({offer.accelerators for offer in same})
    if not same:
        return name
    if wanted.accelerators is not None and wanted.accelerators.value not in counts:
        return f"machine with {wanted.accelerators.value} {name} (only {_numbers(counts)})"
    if wanted.accelerator_memory_gib is not None:
        sizes = sorted({offer.accelerator_memory_gib for offer in same})
        return f"{name} with that memory (only {_numbers(sizes)} GiB)"
    return f"such machine with {name}"


def _numbers(values: Sequence[int]) -> str:
    return listed([str(value) for value in values], "or")


def listed(names: Sequence[str], last: str = "and") -> str:
    """Names as a sentence has them, the first few."""
    shown = list(names[:_LISTED])
    if len(names) > _LISTED:
        shown.append(f"{len(names) - _LISTED} more")
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} {last} {shown[-1]}"


def shown(count: int, offer: Offer) -> str:
    """So many of an offer, with their price."""
    price = Money((offer.price_hour_nano or 0) * count)
    return f"{count} x {offer.instance_type} in {offer.region} at {price} an hour"


def shared_parts(one: str, other: str) -> int:
    """Count the parts that two names share from the left: of `us-west-1` and `us-west-2` two."""
    count = 0
    for a, b in zip(one.split("-"), other.split("-"), strict=False):
        if a != b:
            break
        count += 1
    return count
