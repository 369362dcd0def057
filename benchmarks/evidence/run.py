"""How often intervals hold the truth, and how often what is no difference is called one.

python -m benchmarks.evidence.run [--worlds N]
"""

from __future__ import annotations

import argparse
import random

import numpy as np

from noria.evals import corrected_mean, paired_bootstrap, rate
from noria.evals.battles import Battles
from noria.evals.leaderboard import POINTS
from noria.evals.strength import Pairs, fit

GRID = ((2, 3), (2, 10), (2, 100), (4, 10), (4, 100), (10, 50), (10, 500), (40, 400), (150, 5000))
TIES = (0.0, 0.3, 0.8, 0.9)
_SPREAD = 0.7
_SKEW = 0.3


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--worlds", type=int, default=400)
    worlds = arguments.parse_args().worlds
    print("ratings: contestants, battles, skew, and coverage in % at 0, 30, 80 and 90 % ties")
    for size, battles in GRID:
        for skew in (False, True):
            held = [
                coverage(size, battles, ties, skew, max(8, min(worlds, 1000 // size)))
                for ties in TIES
            ]
            print(size, battles, "skew" if skew else "even", *(f"{100 * one:.1f}" for one in held))
    print("paired comparison: questions, false alarms in %, coverage in %")
    for questions in (2, 5, 10, 20, 40):
        alarms, held_by = comparison(questions, worlds)
        print(questions, f"{100 * alarms:.1f} {100 * held_by:.1f}")
    print("corrected mean: labels, coverage in % at a share of 0.5, 0.6, 0.8 and 0.9")
    for labels in (5, 8, 12, 20, 60, 200):
        print(labels, *(f"{100 * corrected(labels, share, worlds):.1f}"
                        for share in (0.5, 0.6, 0.8, 0.9)))  # fmt: skip


def coverage(size: int, battles: int, ties: float, skew: bool, worlds: int) -> float:
    """How many intervals of ratings hold those of a world without end; nan if none was rated."""
    rng = np.random.default_rng(1)
    strengths = rng.normal(0, _SPREAD, size)
    drawn = np.full(size, 1 / size)
    if skew:
        drawn = _SKEW * (1 - _SKEW) ** np.arange(size)
        drawn[-1] = 1 - drawn[:-1].sum()
    one, other = np.triu_indices(size, 1)
    met = 1e6 * (drawn[one] + drawn[other]) / (size - 1)
    score = (1 - ties) / (1 + np.exp(strengths[other] - strengths[one])) + ties / 2
    truth = fit(Pairs(size, one, other, met, met * score))
    names = [str(place) for place in range(size)]
    held = rated = 0
    for _ in range(worlds):
        first = rng.choice(size, battles, p=drawn)
        second = (first + rng.integers(1, size, battles)) % size
        wins = rng.random(battles) < 1 / (1 + np.exp(strengths[second] - strengths[first]))
        ends = np.where(rng.random(battles) < ties, 2, np.where(wins, 0, 1))
        board = rate(Battles(names, first.astype(np.int32), second.astype(np.int32),
                             ends.astype(np.int8)))  # fmt: skip
        if not board.ratings:
            continue
        level = np.mean([truth[int(one.model)] for one in board.ratings])
        for found in board.ratings:
            assert found.lower is not None
            assert found.upper is not None
            at = 1000 + (truth[int(found.model)] - level) * POINTS
            held += found.lower <= at <= found.upper
            rated += 1
    return held / rated if rated else float("nan")


def comparison(questions: int, worlds: int) -> tuple[float, float]:
    """Of two equal contestants rated 1 to 10: how often noise is called a difference, and how often
    the interval holds nought."""
    rng, alarms, held = random.Random(questions), 0, 0
    for _ in range(worlds):
        one = [float(round(rng.gauss(7, 1.5))) for _ in range(questions)]
        other = [float(round(rng.gauss(7, 1.5))) for _ in range(questions)]
        found = paired_bootstrap(one, other, rounds=1000)
        alarms += found.p_value < 0.05
        held += 0 in found.difference
    return alarms / worlds, held / worlds


def corrected(labels: int, share: float, worlds: int) -> float:
    """How often a corrected mean holds the share, with judges who err in one of five."""
    rng, held = random.Random(labels), 0
    for _ in range(worlds):
        people = [float(rng.random() < share) for _ in range(labels + 200)]
        judge = [one if rng.random() < 0.8 else 1.0 for one in people]
        held += share in corrected_mean(people[:labels], judge[:labels], judge[labels:])
    return held / worlds


if __name__ == "__main__":
    main()
