"""Automatic voters are found within a hundred votes, and people are left in peace."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import exp, log

import pytest

from noria.evals.arena.voters import Suspicion, too_fast

# As far apart as models of several sizes are. The closer they are, the more a person's votes look
# like the toss of a coin, and the longer it takes to tell them apart.
NAMES = [f"m{number}" for number in range(12)]
RATINGS = {name: 1000.0 + 60 * (number - 5.5) for number, name in enumerate(NAMES)}
Voter = Callable[[random.Random, str, str], str]


def person(
    rng: random.Random,
    sharpness: float,
    ties: float,
    bad: float,
    ratings: dict[str, float] = RATINGS,
) -> Voter:
    def votes(rng: random.Random, left: str, right: str) -> str:
        chance = rng.random()
        if chance < ties + bad:
            return "tie" if chance < ties else "tie (bothbad)"
        gap = sharpness * log(10) / 400 * (ratings[left] - ratings[right])
        return "model_a" if rng.random() < 1 / (1 + exp(-gap)) else "model_b"

    return votes


SIDES = ("model_a", "model_b")


def alternating() -> Voter:
    last = [0]

    def votes(rng: random.Random, left: str, right: str) -> str:
        last[0] = 1 - last[0]
        return SIDES[last[0]]

    return votes


BOTS: dict[str, Callable[[], Voter]] = {
    "left": lambda: lambda rng, left, right: "model_a",
    "right with slips": lambda: (
        lambda rng, left, right: "model_b" if rng.random() < 0.97 else "model_a"
    ),
    "both bad": lambda: lambda rng, left, right: "tie (bothbad)",
    "alternating": alternating,
}


def run(voter: Voter, seed: int, votes: int, names: list[str] = NAMES, **more: bool) -> Suspicion:
    rng = random.Random(seed)
    suspicion = Suspicion()
    ratings = {name: RATINGS[name] for name in names}
    for _ in range(votes):
        left, right = rng.sample(names, 2)
        suspicion.add(left, right, voter(rng, left, right), ratings, **more)
    return suspicion


@pytest.mark.parametrize("kind", BOTS)
def test_automatic_voters_are_found_within_a_hundred_votes(kind: str) -> None:
    found = [run(BOTS[kind](), seed, 100).flagged_at for seed in range(100)]
    assert sum(at is not None for at in found) >= 95


def test_a_favourite_of_two_is_found_unless_it_is_far_better() -> None:
    # Not the one that everybody prefers.
    favourite: Voter = lambda rng, left, right: SIDES[right == "m5"]  # noqa: E731
    assert all(run(favourite, seed, 150, ["m5", "m6"]).flagged for seed in range(20))
    best: Voter = lambda rng, left, right: SIDES[right == "m11"]  # noqa: E731
    assert not any(run(best, seed, 150, ["m0", "m11"]).flagged for seed in range(20))


def test_votes_faster_than_the_text_can_be_read_are_found() -> None:
    rng = random.Random(1)
    coin: Voter = lambda rng, left, right: rng.choice(SIDES)  # noqa: E731
    assert all(run(coin, seed, 20, fast=True).flagged for seed in range(20))
    assert not any(run(coin, seed, 200, fast=False).flagged for seed in range(20))
    assert too_fast(1.0, 4000)
    assert not too_fast(25.0, 40_000)
    assert not too_fast(rng.uniform(5, 9), 600)


def own_taste(rng: random.Random) -> Voter:
    shuffled = rng.sample(NAMES, len(NAMES))
    mine = {name: RATINGS[other] for name, other in zip(NAMES, shuffled, strict=True)}
    return person(rng, 1.0, 0.1, 0.05, mine)


def leaning(rng: random.Random) -> Voter:
    reads = person(rng, 1.0, 0.1, 0.05)
    return lambda rng, left, right: "model_a" if rng.random() < 0.3 else reads(rng, left, right)


HONEST: dict[str, Callable[[random.Random], Voter]] = {
    "taste unlike the crowd's": own_taste,
    "half the crowd's": lambda rng: person(rng, 0.5, 0.1, 0.05),
    "sharpness 0.1 to 1": lambda rng: person(rng, rng.uniform(0.1, 1), 0.1, 0.05),
    "95 % ties": lambda rng: person(rng, 1.0, 0.95, 0.0),
    "85 % both bad": lambda rng: person(rng, 1.0, 0.0, 0.85),
    "a habit of left": leaning,
    "two equal contestants": lambda rng: person(rng, 0.0, 0.1, 0.05),
}


@pytest.mark.parametrize("world", HONEST)
def test_people_are_left_in_peace(world: str) -> None:
    people, alarms = 300, 0
    names = NAMES[:2] if world.startswith("two") else NAMES
    for seed in range(people):
        voter = HONEST[world](random.Random(seed))
        alarms += run(voter, seed, 200, names).flagged
    assert alarms <= 0.01 * people + 3
