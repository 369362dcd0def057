"""Judging the judge: does it agree with people, with itself, and what does it favour?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from noria.evals.comparisons import mean_interval
from noria.evals.verdicts import Verdict, Winner
from noria.statistics import Interval, wilson, z_score

__all__ = [
    "Agreement",
    "Judged",
    "LengthPreference",
    "PositionBias",
    "agreement",
    "krippendorff_alpha",
    "length_preference",
    "position_bias",
    "repeatability",
    "self_preference",
]


@dataclass(frozen=True, slots=True)
class Judged:
    """A battle that a judge and a person looked at."""

    model_a: str
    model_b: str
    judge: Winner | None
    """None where the judge gave no winner and no tie."""
    people: Winner | None
    length_a: int = 0
    """Of the answer, in characters."""
    length_b: int = 0


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two raters say the same."""

    count: int
    """Things that both rated."""
    share: Interval
    """Of equal ratings, with Wilson's interval."""
    kappa: Interval | None
    """Cohen's: 0 is what chance gives, 1 is always. None where both gave one rating only."""
    left_out: int
    """Things that one of them did not rate, and ties where those do not count."""


@dataclass(frozen=True, slots=True)
class PositionBias:
    """What a judge says of pairs when the sides are exchanged."""

    count: int
    """Pairs with a verdict in both orders."""
    consistent: Interval
    first: Interval
    """Share in which it chose the answer shown first in both orders."""
    second: Interval
    wavering: Interval
    """Share in which it called a tie in one order only."""
    left_out: int


@dataclass(frozen=True, slots=True)
class LengthPreference:
    """How often the longer answer won, ties as half."""

    count: int
    judge: Interval
    people: Interval
    excess: Interval
    """By how much more often with the judge; people may have reasons to prefer longer answers."""


def agreement(
    one: Sequence[Hashable | None], other: Sequence[Hashable | None], *, ties: bool = True
) -> Agreement:
    """Percent agreement and Cohen's kappa (Cohen 1960; its error by Fleiss, Cohen, Everitt 1969).

    Args:
        one: the ratings of one rater; None where there is none.
        other: those of the other, of the same things.
        ties: whether things that one of them called a tie (`"tie"`) count.

    Raises:
        ValueError: the lengths differ.
    """
    if len(one) != len(other):
        raise ValueError(f"there are {len(one)} ratings of one, and {len(other)} of the other")
    pairs = [
        (mine, theirs)
        for mine, theirs in zip(one, other, strict=True)
        if mine is not None and theirs is not None and (ties or "tie" not in (mine, theirs))
    ]
    same = sum(mine == theirs for mine, theirs in pairs)
    return Agreement(len(pairs), wilson(same, len(pairs)), _kappa(pairs), len(one) - len(pairs))


def krippendorff_alpha(
    ratings: Sequence[Sequence[float | str | None]],
    level: Literal["nominal", "ordinal", "interval"] = "nominal",
) -> float | None:
    """How far several raters agree beyond chance, with gaps (Krippendorff 2011).

    Args:
        ratings: for each rater the ratings of all things, None where there is none.
        level: what differences mean: only whether there is one, how many ranks are between, or how
            much is between.

    Returns:
        1 for full agreement, 0 for what chance gives, None where nothing can differ.

    Raises:
        ValueError: the raters have not the same number of things.
    """
    if len({len(one) for one in ratings}) > 1:
        raise ValueError("every rater has one entry for each thing, None for a gap")
    things = [[one for one in thing if one is not None] for thing in zip(*ratings, strict=True)]
    things = [thing for thing in things if len(thing) > 1]
    total = Counter(one for thing in things for one in thing)
    values = sorted(total, key=lambda one: (isinstance(one, str), one))
    apart = _distances(values, total, level)
    observed = sum(
        apart[mine, theirs] / (len(thing) - 1)
        for thing in things
        for place, mine in enumerate(thing)
        for other, theirs in enumerate(thing)
        if place != other
    )
    expected = sum(
        total[mine] * total[theirs] * apart[mine, theirs] for mine in values for theirs in values
    )
    if not expected:
        return None
    return 1 - (total.total() - 1) * observed / expected


def position_bias(pairs: Iterable[tuple[Verdict, Verdict]]) -> PositionBias:
    """What becomes of a judge's choices when the sides are exchanged.

    Args:
        pairs: for each pair the verdict as it was shown, and the one with the sides exchanged, both
            as the judge gave them ("a" is what was shown first).
    """
    seen: Counter[str] = Counter()
    for shown, exchanged in pairs:
        if shown.winner is None or exchanged.winner is None:
            seen["left_out"] += 1
        elif shown.winner == exchanged.swapped().winner:
            seen["consistent"] += 1
        elif shown.winner == exchanged.winner:
            seen["first" if shown.winner == "a" else "second"] += 1
        else:
            seen["wavering"] += 1
    count = seen.total() - seen["left_out"]
    return PositionBias(
        count,
        consistent=wilson(seen["consistent"], count),
        first=wilson(seen["first"], count),
        second=wilson(seen["second"], count),
        wavering=wilson(seen["wavering"], count),
        left_out=seen["left_out"],
    )


def repeatability(repeats: Iterable[Sequence[Hashable | None]]) -> Interval:
    """How often two looks of a judge at the same thing say the same.

    Args:
        repeats: for each thing all that the judge said of it, None where there was no verdict.

    Raises:
        ValueError: nothing was judged twice.
    """
    shares = []
    for said in repeats:
        given = [one for one in said if one is not None]
        if len(given) > 1:
            equal = sum(count * (count - 1) for count in Counter(given).values())
            shares.append(equal / (len(given) * (len(given) - 1)))
    if not shares:
        raise ValueError("nothing was judged twice")
    return _share(mean_interval(shares))


def self_preference(judged: Iterable[Judged], own: str) -> Interval:
    """By how much the judge gives its own model a greater share of wins than people do (-1 to 1).

    Raises:
        ValueError: its own model is in no battle that both decided.
    """
    gaps = [
        _taken(one.judge, side) - _taken(one.people, side)
        for one in judged
        for side, model in (("a", one.model_a), ("b", one.model_b))
        if model == own and one.judge is not None and one.people is not None
    ]
    if not gaps:
        raise ValueError(f"{own} is in no battle that both the judge and a person decided")
    return mean_interval(gaps)


def length_preference(judged: Iterable[Judged]) -> LengthPreference:
    """How often the longer answer wins with the judge and with people.

    Raises:
        ValueError: no battle that both decided has answers of different length.
    """
    both = [
        (_taken(one.judge, longer), _taken(one.people, longer))
        for one in judged
        if one.judge is not None and one.people is not None and one.length_a != one.length_b
        for longer in ("a" if one.length_a > one.length_b else "b",)
    ]
    if not both:
        raise ValueError("no battle that both decided has answers of different length")
    return LengthPreference(
        len(both),
        _share(mean_interval([judge for judge, _ in both])),
        _share(mean_interval([people for _, people in both])),
        mean_interval([judge - people for judge, people in both]),
    )


def _taken(winner: Winner | None, side: str) -> float:
    return 0.5 if winner == "tie" else float(winner == side)


def _share(interval: Interval) -> Interval:
    return Interval(interval.value, max(0.0, interval.lower), min(1.0, interval.upper))


def _kappa(pairs: Sequence[tuple[Hashable, Hashable]], confidence: float = 0.95) -> Interval | None:
    count = len(pairs)
    mine, theirs = Counter(one for one, _ in pairs), Counter(one for _, one in pairs)
    values = set(mine) | set(theirs)
    chance = sum(mine[one] * theirs[one] for one in values) / max(1, count) ** 2
    if not count or chance == 1:
        return None
    cells = Counter(pairs)
    same = sum(cells[one, one] for one in values) / count
    kappa = (same - chance) / (1 - chance)
    spread = sum(
        cells[one, one] / count * (1 - (mine[one] + theirs[one]) / count * (1 - kappa)) ** 2
        for one in values
    )
    spread += (1 - kappa) ** 2 * sum(
        seen / count * ((theirs[one] + mine[other]) / count) ** 2
        for (one, other), seen in cells.items()
        if one != other
    )
    spread -= (kappa - chance * (1 - kappa)) ** 2
    half = z_score(confidence) * sqrt(max(0.0, spread) / count) / (1 - chance)
    return Interval(kappa, max(-1.0, kappa - half), min(1.0, kappa + half))


def _distances(
    values: Sequence[float | str], total: Counter[float | str], level: str
) -> dict[tuple[float | str, float | str], float]:
    """How far two ratings are from each other."""
    if level == "nominal":
        return {(one, two): float(one != two) for one in values for two in values}
    if any(isinstance(one, str) for one in values):
        raise ValueError(f"level is {level!r}, which needs numbers")
    if level == "interval":
        place = {one: float(one) for one in values}
    else:
        # Ranks in the middle of their ties: between two lie all ratings between, and half of each.
        below, place = 0.0, {}
        for one in values:
            place[one] = below + total[one] / 2
            below += total[one]
    return {(one, two): (place[one] - place[two]) ** 2 for one in values for two in values}
