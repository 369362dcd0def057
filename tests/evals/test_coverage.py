"""Intervals hold the truth as often as they say: between 93 and 97 of 100 times, by simulation.

`make soak` runs the same with NORIA_SOAK_COVERAGE worlds.
"""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

from noria.evals import Tally, rate
from noria.evals.battles import Battles

WORLDS = int(os.environ.get("NORIA_SOAK_COVERAGE", "300"))
POINTS = 400 / math.log(10)


def draw(rng, strengths, count, ties=0.0, skewed=False):
    """Battles of a world; ties split the chance evenly. Skewed: some pairs meet far more often."""
    size = len(strengths)
    first = rng.integers(0, size, count)
    if skewed:
        first = np.minimum(rng.geometric(0.3, count) - 1, size - 1)
    second = (first + rng.integers(1, size, count)) % size
    chance = 1 / (1 + np.exp(strengths[second] - strengths[first]))
    outcome = np.where(rng.random(count) < chance, 0, 1)
    outcome = np.where(rng.random(count) < ties, 2, outcome)
    return first.astype(np.int32), second.astype(np.int32), outcome.astype(np.int8)


def held(strengths, boards):
    """How many of all intervals hold the truth."""
    truth = 1000 + (strengths - strengths.mean()) * POINTS
    hits = [
        one.lower <= truth[int(one.model)] <= one.upper for board in boards for one in board.ratings
    ]
    return sum(hits) / len(hits)


@pytest.mark.parametrize("skewed", [False, True])
def test_sandwich(skewed):
    rng = np.random.default_rng(1)
    strengths = rng.normal(0, 0.7, 8)
    names = [str(place) for place in range(8)]
    boards = [
        rate(Battles(names, *draw(rng, strengths, 1200, skewed=skewed))) for _ in range(WORLDS)
    ]
    assert 0.93 < held(strengths, boards) < 0.97


def test_bootstrap():
    rng = np.random.default_rng(2)
    strengths = rng.normal(0, 0.7, 6)
    names = [str(place) for place in range(6)]
    boards = [
        rate(Battles(names, *draw(rng, strengths, 900)), bootstrap=200, seed=world)
        for world in range(WORLDS)
    ]
    assert 0.93 < held(strengths, boards) < 0.97


def test_sandwich_where_the_model_is_wrong():
    """With ties the inverse curvature alone would be too wide: a tie varies less than a coin. The
    truth is the fit of a world without end."""
    rng = np.random.default_rng(3)
    strengths = np.array([0.8, 0.2, -0.2, -0.8])
    names = list("0123")
    endless = rate(Battles(names, *draw(rng, strengths, 2_000_000, ties=0.5)))
    truth = np.array([endless[name].rating for name in names]) / POINTS
    boards = [rate(Battles(names, *draw(rng, strengths, 800, ties=0.5))) for _ in range(WORLDS)]
    assert 0.93 < held(truth, boards) < 0.97


def test_weights_undo_uneven_drawing():
    """Contestants that people do not rank in one line: who meets whom changes the plain fit, and
    weights by inverse propensity bring back the fit of even drawing, with honest intervals."""
    rng = np.random.default_rng(4)
    names = list("012")
    beats = np.array([[0.5, 0.8, 0.4], [0.2, 0.5, 0.8], [0.6, 0.2, 0.5]])  # a wheel
    pairs = np.array([[0, 1], [1, 2], [2, 0]])

    def world(count, drawn):
        which = rng.choice(3, count, p=drawn)
        first, second = pairs[which].T.astype(np.int32)
        outcome = (rng.random(count) > beats[first, second]).astype(np.int8)
        return Battles(names, first, second, outcome, weight=1 / np.array(drawn)[which])

    even = rate(world(1_500_000, [1 / 3] * 3))
    truth = np.array([even[name].rating for name in names]) / POINTS
    boards = [rate(world(900, [0.7, 0.2, 0.1])) for _ in range(WORLDS)]
    assert 0.93 < held(truth, boards) < 0.97
    blind = Tally()
    for pair, share in zip(pairs, (0.7, 0.2, 0.1), strict=True):
        wins = beats[pair[0], pair[1]]
        blind.add(names[pair[0]], names[pair[1]], "model_a", count=round(10_000 * share * wins))
        blind.add(
            names[pair[0]], names[pair[1]], "model_b", count=round(10_000 * share * (1 - wins))
        )
    assert abs(rate(blind)["0"].rating - even["0"].rating) > 20
