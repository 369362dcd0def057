"""Who meets whom: pairs are drawn where one more vote tells most.

The chance of a pair grows with how much its estimated share of wins would sharpen by one more vote,
`sqrt(s/n) - sqrt(s/(n+1))` with the variance `s` and `n` votes (Chiang et al. 2024, "Chatbot
Arena", section 5). A part of all draws goes to contestants with few votes, so that a new one is
rated soon. The chance of each drawn pair is kept, and battles can be weighted by its inverse.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import sqrt

from noria.errors import ConfigError
from noria.store.evals.pair_counts import PairCount

__all__ = ["chances", "draw"]

Pair = tuple[str, str]

_NEWCOMERS_SHARE = 0.3


def draw(
    contestants: Sequence[str],
    counts: Iterable[PairCount],
    *,
    floor: int,
    rng: random.Random,
) -> tuple[str, str, float]:
    """Draw a pair, and which of them stands on the left.

    Args:
        contestants: at least two names.
        counts: how the battles so far ended.
        floor: votes under which a contestant is new and preferred.
        rng: where chance comes from.

    Returns:
        The left, the right, and the chance with which this pair was drawn (in either order).

    Raises:
        ConfigError: there are fewer than two contestants.
    """
    likely = chances(contestants, counts, floor=floor)
    pair = rng.choices(list(likely), weights=list(likely.values()))[0]
    left, right = pair if rng.random() < 0.5 else pair[::-1]
    return left, right, likely[pair]


def chances(
    contestants: Sequence[str], counts: Iterable[PairCount], *, floor: int
) -> Mapping[Pair, float]:
    """The chance of each pair to be drawn next; they sum to 1.

    Raises:
        ConfigError: there are fewer than two contestants.
    """
    names = sorted(set(contestants))
    if len(names) < 2:
        raise ConfigError(
            f"An arena needs two contestants and has {len(names)}.",
            'Name them in noria.toml: [arena] contestants = ["local:smollm2", "..."]',
        )
    met = {(one.model_a, one.model_b): one for one in counts}
    pairs = list(combinations(names, 2))
    told = _shares([_gain(met.get(pair)) for pair in pairs])
    votes = dict.fromkeys(names, 0)
    for (a, b), one in met.items():
        total = one.wins_a + one.wins_b + one.ties + one.both_bad
        for name in (a, b):
            if name in votes:
                votes[name] += total
    new = {name for name in names if votes[name] < floor}
    if not new:
        return dict(zip(pairs, told, strict=True))
    # A newcomer meets everybody alike: nothing is known yet of whom it should meet.
    wanted = _shares([float((a in new) + (b in new)) for a, b in pairs])
    share = _NEWCOMERS_SHARE
    return {
        pair: (1 - share) * usual + share * extra
        for pair, usual, extra in zip(pairs, told, wanted, strict=True)
    }


def _gain(one: PairCount | None) -> float:
    """By how much one more vote would lower the standard error of a pair's share of wins."""
    won, lost, halves = (one.wins_a, one.wins_b, one.ties + one.both_bad) if one else (0, 0, 0)
    # One vote for each side is added beforehand, so that a pair that never met has a variance.
    votes = won + lost + halves + 2
    share = (won + halves / 2 + 1) / votes
    variance = share * (1 - share)
    return sqrt(variance / votes) - sqrt(variance / (votes + 1))


def _shares(weights: Sequence[float]) -> list[float]:
    total = sum(weights)
    return [weight / total for weight in weights]
