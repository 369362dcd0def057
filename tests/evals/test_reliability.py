"""Judging the judge, against published worked examples."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.evals import (
    Judged,
    agreement,
    krippendorff_alpha,
    length_preference,
    parse_verdict,
    position_bias,
    repeatability,
    self_preference,
)


def spread(table):
    """Two raters' ratings from a table of counts."""
    pairs = [
        (row, column)
        for row, counts in enumerate(table)
        for column, count in enumerate(counts)
        for _ in range(count)
    ]
    return [one for one, _ in pairs], [other for _, other in pairs]


class TestKappa:
    def test_grant_proposals(self):
        """20 and 15 of 50 equal: observed 0.7, by chance 0.5, kappa 0.4."""
        found = agreement(*spread([[20, 5], [10, 15]]))
        assert found.share.value == pytest.approx(0.7)
        assert found.kappa.value == pytest.approx(0.4)

    def test_fleiss_cohen_everitt(self):
        """Their example (1969), 200 cases in three classes: kappa 0.429, standard error 0.0538."""
        found = agreement(*spread([[106, 10, 4], [22, 28, 10], [2, 12, 6]]))
        assert found.kappa.value == pytest.approx(0.429, abs=5e-4)
        error = (found.kappa.upper - found.kappa.value) / 1.959964
        assert error == pytest.approx(0.0538, abs=5e-4)

    def test_ties_left_out(self):
        one = ["a", "a", "b", "tie", "b", None]
        other = ["a", "b", "b", "b", "tie", "a"]
        with_ties, without = agreement(one, other), agreement(one, other, ties=False)
        assert (with_ties.count, with_ties.left_out) == (5, 1)
        assert with_ties.share.value == pytest.approx(2 / 5)
        assert (without.count, without.left_out) == (3, 3)
        assert without.share.value == pytest.approx(2 / 3)

    def test_where_nothing_can_differ_kappa_is_unknown(self):
        assert agreement(["a"] * 4, ["a"] * 4).kappa is None
        assert agreement([], []).kappa is None

    def test_lengths_that_differ_are_refused(self):
        with pytest.raises(ValueError, match="1 ratings"):
            agreement(["a"], [])

    def test_coverage(self):
        """Two raters who agree with 0.75 on even classes: kappa is 0.5."""
        rng, held = random.Random(2), 0
        for _ in range(1000):
            one = [rng.random() < 0.5 for _ in range(150)]
            other = [this if rng.random() < 0.75 else not this for this in one]
            held += 0.5 in agreement(one, other).kappa
        assert 930 <= held <= 970

    @given(st.lists(st.tuples(st.sampled_from("abt"), st.sampled_from("abt")), max_size=40))
    def test_who_is_first_does_not_matter(self, pairs):
        one, other = [a for a, _ in pairs], [b for _, b in pairs]
        found, turned = agreement(one, other), agreement(other, one)
        assert found.share == turned.share
        if found.kappa is not None:
            assert found.kappa.value == pytest.approx(turned.kappa.value)
            assert -1 <= found.kappa.value <= 1 + 1e-12


class TestAlpha:
    # Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C.
    RATINGS = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]

    @pytest.mark.parametrize(
        ("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
    )
    def test_four_observers_with_gaps(self, level, published):
        assert krippendorff_alpha(self.RATINGS, level) == pytest.approx(published, abs=6e-4)

    def test_two_observers_binary(self):
        """His section A: ten units, alpha 0.095."""
        ratings = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
        assert krippendorff_alpha(ratings) == pytest.approx(0.095, abs=5e-4)

    def test_two_observers_nominal(self):
        """His section B: twelve units in five classes, alpha 0.692."""
        ratings = [list("aabbdcccedda"), list("babbbccceddd")]
        assert krippendorff_alpha(ratings) == pytest.approx(0.692, abs=5e-4)

    def test_one_rating_for_everything_says_nothing(self):
        assert krippendorff_alpha([["a", "a"], ["a", "a"]]) is None
        assert krippendorff_alpha([]) is None

    def test_ranks_need_numbers(self):
        with pytest.raises(ValueError, match="needs numbers"):
            krippendorff_alpha([["a", "b"], ["a", "b"]], "ordinal")
        with pytest.raises(ValueError, match="None for a gap"):
            krippendorff_alpha([["a"], ["a", "b"]])


def choices(*pairs):
    return [tuple(parse_verdict(f"[[{one}]]", "choice") for one in pair) for pair in pairs]


def test_position_bias():
    found = position_bias(choices("AB", "BA", "CC", "AA", "AA", "BB", "AC", "CB", "A?", "??"))
    assert (found.count, found.left_out) == (8, 2)
    assert found.consistent.value == 3 / 8
    assert (found.first.value, found.second.value, found.wavering.value) == (2 / 8, 1 / 8, 2 / 8)


def test_repeatability():
    found = repeatability([["a", "a", "a"], ["a", "b"], ["a", None], ["a", "a", "b", None]])
    assert found.value == pytest.approx((1 + 0 + 1 / 3) / 3)
    with pytest.raises(ValueError, match="judged twice"):
        repeatability([["a"], [None, "b"]])


def test_self_preference():
    """Of four battles the judge gives its own model three and a half, people two."""
    battles = [
        Judged("judge", "x", "a", "a"), Judged("x", "judge", "b", "a"),
        Judged("judge", "y", "a", "b"), Judged("y", "judge", "tie", "b"),
        Judged("x", "y", "a", "b"), Judged("judge", "x", None, "a"),
    ]  # fmt: skip
    found = self_preference(battles, "judge")
    assert found.value == pytest.approx((0 + 1 + 1 - 0.5) / 4)
    with pytest.raises(ValueError, match="in no battle"):
        self_preference(battles, "nobody")


def test_length_preference():
    battles = [
        Judged("x", "y", "a", "a", 100, 50), Judged("x", "y", "b", "a", 10, 50),
        Judged("x", "y", "b", "tie", 10, 50), Judged("x", "y", "a", "b", 50, 50),
        Judged("x", "y", "a", "a", 10, 20),
    ]  # fmt: skip
    found = length_preference(battles)
    assert found.count == 4
    assert found.judge.value == pytest.approx(3 / 4)
    assert found.people.value == pytest.approx(1.5 / 4)
    assert found.excess.value == pytest.approx(1.5 / 4)
    with pytest.raises(ValueError, match="different length"):
        length_preference([])
