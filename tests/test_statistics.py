"""The interval of a share."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.statistics import t_score, wilson, z_score


def test_against_published_figures():
    """Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    for passed, total, lower, upper in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        share = wilson(passed, total)
        assert share.value == passed / total
        assert (share.lower, share.upper) == pytest.approx((lower, upper), abs=5e-5)


def test_without_a_trial_nothing_is_known():
    share = wilson(0, 0)
    assert (share.lower, share.upper) == (0, 1)


@pytest.mark.parametrize("chance", [0.05, 0.3, 0.5, 0.9])
def test_holds_the_truth_as_often_as_it_says(chance):
    """Summed over every outcome of 200 trials, without simulation."""
    total = 200
    held = sum(
        comb(total, passed) * chance**passed * (1 - chance) ** (total - passed)
        for passed in range(total + 1)
        if chance in wilson(passed, total)
    )
    assert 0.93 < held < 0.97


@given(st.integers(0, 500), st.integers(0, 500), st.floats(0.5, 0.999))
def test_is_a_share_and_mirrors(passed, failed, confidence):
    total = passed + failed
    share, mirrored = wilson(passed, total, confidence), wilson(failed, total, confidence)
    assert 0 <= share.lower <= share.value <= share.upper <= 1
    assert share.lower == pytest.approx(1 - mirrored.upper, abs=1e-12)


@pytest.mark.parametrize("arguments", [(-1, 3), (4, 3), (1, 3, 1.0), (1, 3, 0.0)])
def test_refuses_what_is_no_share(arguments):
    with pytest.raises(ValueError, match="is not between"):
        wilson(*arguments)


def test_z_score():
    assert z_score(0.95) == pytest.approx(1.959964, abs=1e-6)


@pytest.mark.parametrize(
    ("confidence", "freedom", "published"),
    [
        (0.95, 1, 12.706), (0.95, 2, 4.303), (0.95, 5, 2.571), (0.95, 30, 2.042), (0.99, 10, 3.169),
        (0.9, 4, 2.132), (0.95, 120, 1.980), (0.95, 100_000, 1.960), (0.99, 1, 63.657),
    ],
)  # fmt: skip
def test_t_score_is_that_of_the_tables(confidence, freedom, published):
    assert t_score(confidence, freedom) == pytest.approx(published, abs=6e-4)


@given(st.floats(0.01, 0.999), st.integers(1, 10_000))
def test_t_is_wider_than_z(confidence, freedom):
    assert z_score(confidence) <= t_score(confidence, freedom)
