"""Scores relative to a baseline, and win rates."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.evals import relative_score, win_rate


def test_the_baseline_is_100():
    same = relative_score([8.0, 6.0, 9.0], [8.0, 6.0, 9.0])
    assert (same.lower, same.value, same.upper) == pytest.approx((100, 100, 100))


def test_sum_over_sum_and_not_a_mean_of_ratios():
    assert relative_score([10.0, 1.0], [5.0, 10.0]).value == pytest.approx(100 * 11 / 15)


def test_a_ratio_against_its_closed_form():
    """Four pairs: ratio 18/20, residuals 1.2, -1.7, .4, .1; t of 3 degrees is 3.182446."""
    found = relative_score([3.0, 1.0, 4.0, 10.0], [2.0, 3.0, 4.0, 11.0])
    residuals = [3 - 1.8, 1 - 2.7, 4 - 3.6, 10 - 9.9]
    error = (sum(one**2 for one in residuals) * 4 / 3) ** 0.5 / 20
    assert found.upper - found.value == pytest.approx(100 * 3.182446 * error, rel=1e-6)


def test_a_question_without_both_scores_is_left_out():
    assert relative_score([8.0, None, 9.0], [4.0, 5.0, None]).value == 200


@pytest.mark.parametrize(
    ("scores", "baseline"), [([], []), ([1.0], [None]), ([1.0], [0.0]), ([1.0, 2.0], [1.0])]
)
def test_nothing_to_compare_with_is_refused(scores, baseline):
    with pytest.raises(ValueError, match="baseline"):
        relative_score(scores, baseline)


def test_coverage_of_the_paired_interval():
    rng = random.Random(1)
    held = 0
    for _ in range(1000):
        hard = [rng.uniform(3, 9) for _ in range(40)]
        mine = [0.9 * one + rng.gauss(0, 1) for one in hard]
        theirs = [one + rng.gauss(0, 1) for one in hard]
        held += 90.0 in relative_score(mine, theirs)
    assert 930 <= held <= 970


def test_win_rate_on_the_scale_of_alpaca_eval():
    found = win_rate([2, 2, 1, 0, None, 1.5, 1.7])
    assert found.rate == pytest.approx(100 * (1 + 1 + 0 + 0.5 + 0.5 + 0.7) / 6)
    assert (found.wins, found.losses, found.draws, found.dropped) == (3, 1, 2, 1)
    values = [1, 1, 0, 0.5, 0.5, 0.7]
    mean = sum(values) / 6
    error = 100 * (sum((one - mean) ** 2 for one in values) / 5 / 6) ** 0.5
    assert found.standard_error == pytest.approx(error)


def test_what_is_no_preference_is_dropped_and_counted():
    assert win_rate([2, 3, -1, 0.5, float("nan")]).dropped == 4
    assert win_rate([2]).standard_error is None
    with pytest.raises(ValueError, match="no preference"):
        win_rate([None, None])


@given(st.lists(st.floats(1, 2), min_size=2, max_size=40))
def test_from_the_other_side_the_rates_add_up_to_100(preferences):
    mine = win_rate(preferences)
    theirs = win_rate([3 - one for one in preferences])
    assert mine.rate + theirs.rate == pytest.approx(100)
    assert mine.standard_error == pytest.approx(theirs.standard_error, abs=1e-9)
