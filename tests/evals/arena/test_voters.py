"""Automatic voters are found within a hundred votes, and people are left in peace."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import exp, log

import pytest

from noria.evals.arena.voters import Suspicion

# As far apart as models of several sizes are. The closer they are, the more a person's votes look
# like the toss of a coin, and the longer it takes to tell them apart.
NAMES = [f"m{number}" for number in range(12)]
RATINGS = {name: 1000.0 + 60 * (number - 5.5) for number, name in enumerate(NAMES)}
Voter = Callable[[random.Random, str, str], str]


def person(rng: random.Random, sharpness: float, ties: float, bad: float) -> Voter:
    def votes(rng: random.Random, left: str, right: str) -> str:
        chance = rng.random()
        if chance < ties + bad:
            return "tie" if chance < ties else "tie (bothbad)"
        gap = sharpness * log(10) / 400 * (RATINGS[left] - RATINGS[right])
        return "model_a" if rng.random() < 1 / (1 + exp(-gap)) else "model_b"

    return votes


def favourite(rng: random.Random, left: str, right: str) -> str:
    return "model_a" if left == "m3" else "model_b" if right == "m3" else rng.choice(SIDES)


SIDES = ("model_a", "model_b")
BOTS: dict[str, Voter] = {
    "left": lambda rng, left, right: "model_a",
    "right with slips": lambda rng, left, right: "model_b" if rng.random() < 0.95 else "model_a",
    "tie": lambda rng, left, right: "tie",
    "both bad": lambda rng, left, right: "tie (bothbad)",
    "contrary": lambda rng, left, right: SIDES[RATINGS[left] > RATINGS[right]],
    "coin": lambda rng, left, right: rng.choice(SIDES),
    "favourite": favourite,
}


def run(voter: Voter, seed: int, votes: int) -> Suspicion:
    rng = random.Random(seed)
    suspicion = Suspicion()
    for _ in range(votes):
        left, right = rng.sample(NAMES, 2)
        suspicion.add(left, right, voter(rng, left, right), RATINGS)
    return suspicion


@pytest.mark.parametrize("kind", BOTS)
def test_automatic_voters_are_found_within_a_hundred_votes(kind: str) -> None:
    found = [run(BOTS[kind], seed, 100).flagged_at for seed in range(200)]
    assert sum(at is not None for at in found) >= 0.95 * len(found)


def test_people_are_left_in_peace() -> None:
    alarms, people = 0, 1000
    for seed in range(people):
        rng = random.Random(seed)
        voter = person(rng, rng.uniform(0.75, 1.5), rng.uniform(0, 0.4), rng.uniform(0, 0.3))
        alarms += run(voter, seed, 200).flagged
    assert alarms < 0.01 * people
