"""Pairs are drawn where a vote tells most, newcomers more often, and the chances are known."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.errors import ConfigError
from noria.evals.arena.pairs import chances, draw
from noria.store.evals.pair_counts import PairCount

NAMES = ["a", "b", "c", "d"]
counts = st.lists(
    st.builds(
        lambda pair, *ends: PairCount(*sorted(pair), *ends),
        st.sampled_from([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]),
        *[st.integers(0, 500)] * 4,
    ),
    max_size=4,
    unique_by=lambda one: (one.model_a, one.model_b),
)


@given(counts, st.integers(0, 1000))
def test_every_pair_has_a_chance_and_they_sum_to_one(met: list[PairCount], floor: int) -> None:
    found = chances(NAMES, met, floor=floor)
    assert len(found) == 6
    assert all(chance > 0 for chance in found.values())
    assert sum(found.values()) == pytest.approx(1)


def test_a_vote_tells_most_about_pairs_that_rarely_met_and_are_close() -> None:
    found = chances(
        ["a", "b", "c"],
        [PairCount("a", "b", 500, 500, 0, 0), PairCount("a", "c", 50, 50, 0, 0),
         PairCount("b", "c", 99, 1, 0, 0)],
        floor=0,
    )  # fmt: skip
    assert found["a", "c"] > found["a", "b"]
    assert found["a", "c"] > found["b", "c"]


def test_a_newcomer_fights_more_often_until_it_has_its_votes() -> None:
    met = [PairCount(a, b, 50, 50, 0, 0) for a, b in (("a", "b"), ("a", "c"), ("b", "c"))]
    new = chances(NAMES, met, floor=20)
    settled = chances(NAMES, met, floor=0)
    share = sum(chance for pair, chance in new.items() if "d" in pair)
    assert share > sum(chance for pair, chance in settled.items() if "d" in pair)


def test_what_is_drawn_comes_as_often_as_its_chance_says_and_on_both_sides() -> None:
    met = [PairCount("a", "b", 5, 3, 1, 0)]
    expected = chances(["a", "b", "c"], met, floor=20)
    rng = random.Random(1)
    drawn = [draw(["a", "b", "c"], met, floor=20, rng=rng) for _ in range(20_000)]
    seen = Counter((min(left, right), max(left, right)) for left, right, _ in drawn)
    for pair, chance in expected.items():
        assert seen[pair] / len(drawn) == pytest.approx(chance, abs=0.015)
    assert all(
        chance == expected[min(left, right), max(left, right)] for left, right, chance in drawn
    )
    lefts = Counter(left < right for left, right, _ in drawn)
    assert lefts[True] == pytest.approx(10_000, abs=400)


def test_one_contestant_has_nobody_to_meet() -> None:
    with pytest.raises(ConfigError, match="needs two contestants and has 1"):
        draw(["a", "a"], [], floor=0, rng=random.Random(0))
