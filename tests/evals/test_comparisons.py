"""Means, paired tests and sample sizes, against closed forms and by simulation."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.evals import (
    corrected_mean,
    mcnemar,
    mean_interval,
    paired_bootstrap,
    paired_difference,
    questions_needed,
)
from noria.evals.comparisons import holm
from noria.statistics import Interval


def passes(both, only_one, only_other, neither):
    one = [True] * (both + only_one) + [False] * (only_other + neither)
    other = [True] * both + [False] * only_one + [True] * only_other + [False] * neither
    return one, other


def test_mean_of_sleep():
    """Student's own data (1908): mean 1.58, t 4.06 with 9 degrees, so 95 % is 0.70 to 2.46."""
    more = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    found = mean_interval(more)
    assert found.value == pytest.approx(1.58)
    assert (found.lower, found.upper) == pytest.approx((0.70, 2.46), abs=5e-3)
    one = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    other = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    assert paired_difference(other, one).value == pytest.approx(1.58)


def test_one_value_says_nothing_of_others():
    found = mean_interval([3.0])
    assert (found.lower, found.value, found.upper) == (-math.inf, 3, math.inf)
    with pytest.raises(ValueError, match="no value"):
        mean_interval([])


def test_the_interval_of_a_mean_ends_with_the_scale():
    assert mean_interval([10.0, 9.0, 10.0], within=(1, 10)).upper == 10
    assert mean_interval([0.0, 1.0, 0.0], within=(0, 1)).lower == 0
    assert mean_interval([3.0], within=(1, 10)) == Interval(3, 1, 10)
    alike = mean_interval([1.0] * 3, within=(0, 1))
    assert (alike.value, alike.upper) == (1, 1)
    assert alike.lower < 0.5


class TestMcNemar:
    def test_closed_form(self):
        found = mcnemar(*passes(10, 1, 9, 5))
        assert (found.only_one, found.only_other) == (1, 9)
        assert found.p_value == pytest.approx(2 * (1 + 10) / 2**10)

    def test_against_a_published_table(self):
        """Approval of the prime minister (Agresti 2002, table 10.1): z is 5.89."""
        p_value = mcnemar(*passes(794, 150, 86, 570)).p_value
        assert p_value == pytest.approx(math.erfc(((150 - 86) / math.sqrt(236)) / 2**0.5), rel=0.2)

    def test_no_difference_and_very_many(self):
        assert mcnemar(*passes(5, 0, 0, 5)).p_value == 1
        assert mcnemar(*passes(0, 4, 4, 0)).p_value == 1
        assert 0 <= mcnemar(*passes(0, 1000, 2000, 0)).p_value < 1e-70
        with pytest.raises(ValueError, match="2 results"):
            mcnemar([True, False], [True])


class TestPairedBootstrap:
    def test_is_near_students_interval_where_that_holds(self):
        rng = random.Random(3)
        one = [rng.gauss(0.3, 1) for _ in range(200)]
        other = [rng.gauss(0.0, 1) for _ in range(200)]
        drawn, closed = paired_bootstrap(one, other), paired_difference(one, other)
        assert drawn.difference.value == pytest.approx(closed.value)
        assert drawn.difference.lower == pytest.approx(closed.lower, abs=0.02)
        assert drawn.difference.upper == pytest.approx(closed.upper, abs=0.02)
        assert drawn == paired_bootstrap(one, other)

    def test_p_values(self):
        """Nine of nine one way is one of the 512 ways to exchange them, and its mirror."""
        assert paired_bootstrap([1.0] * 9, [0.0] * 9).p_value == pytest.approx(2 / 512)
        assert paired_bootstrap([1.0] * 40, [0.0] * 40).p_value == pytest.approx(1 / 10_001)
        assert paired_bootstrap([1.0] * 9, [1.0] * 9).p_value == 1
        with pytest.raises(ValueError, match="no question"):
            paired_bootstrap([], [])

    def test_fishers_plants(self):
        """Darwin's maize: of 32,768 ways 1,726 differ by as much (Fisher 1935, section 21)."""
        gaps = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
        found = paired_bootstrap(gaps, [0.0] * 15, rounds=40_000)
        assert found.p_value == pytest.approx(1726 / 32_768, abs=4e-3)

    def test_two_questions_prove_nothing(self):
        found = paired_bootstrap([8, 8], [7, 7])
        assert found.p_value == 0.5
        assert 0 in found.difference
        assert paired_bootstrap([8.0] * 5, [7.0] * 5).p_value > 0.05

    @pytest.mark.parametrize("count", [2, 3, 5, 8, 12, 20, 40])
    def test_false_alarms(self, count):
        rng, alarms, held, worlds = random.Random(count), 0, 0, 300
        for _ in range(worlds):
            mine = [round(rng.gauss(7, 1.5)) for _ in range(count)]
            theirs = [round(rng.gauss(7, 1.5)) for _ in range(count)]
            found = paired_bootstrap(mine, theirs, rounds=500)
            alarms += found.p_value < 0.05
            held += 0 in found.difference
        assert alarms / worlds < 0.09
        assert held / worlds > 0.91


class TestHolm:
    def test_by_hand(self):
        """Holm's step-down of 0.01, 0.04, 0.03 and 0.005."""
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
        assert holm([]) == []
        assert holm([0.7, 0.9]) == [1.0, 1.0]


class TestQuestionsNeeded:
    def test_closed_form(self):
        """The rule of sixteen: (1.96 + 0.84)^2 is 7.85 for a difference of one deviation."""
        assert questions_needed(1, 1) == 8
        assert questions_needed(-0.1, 1) == math.ceil((1.959964 + 0.841621) ** 2 * 100)
        with pytest.raises(ValueError, match="no number"):
            questions_needed(0, 1)

    def test_of_an_interval_its_end_nearest_to_nought_counts(self):
        assert questions_needed(Interval(1.5, 1.0, 2.0), 1) == questions_needed(1.0, 1)
        assert questions_needed(Interval(-1.5, -2.0, -1.0), 1) == questions_needed(1.0, 1)
        with pytest.raises(ValueError, match="may be"):
            questions_needed(Interval(0.1, -0.1, 0.3), 1)

    def test_so_many_show_it_as_often_as_asked(self):
        rng, seen = random.Random(4), 0
        count = questions_needed(0.4, 1.0)
        for _ in range(600):
            found = mean_interval([rng.gauss(0.4, 1) for _ in range(count)])
            seen += found.lower > 0
        assert 0.75 < seen / 600 < 0.85


class TestCorrectedMean:
    def world(self, rng, labelled, alone, bias):
        """People are right with 0.6; the judge follows them with 0.85, and else says 1."""
        people = [float(rng.random() < 0.6) for _ in range(labelled + alone)]
        judge = [one if rng.random() < 1 - bias else 1.0 for one in people]
        return people[:labelled], judge[:labelled], judge[labelled:]

    def test_coverage_with_a_biased_judge(self):
        rng, held, fooled, narrower = random.Random(5), 0, 0, 0.0
        for _ in range(1000):
            people, judge, alone = self.world(rng, 120, 1200, 0.3)
            found = corrected_mean(people, judge, alone)
            held += 0.6 in found
            fooled += 0.6 in mean_interval(alone)
            plain = mean_interval(people)
            narrower += (found.upper - found.lower) / (plain.upper - plain.lower) / 1000
        assert 930 <= held <= 970
        assert fooled < 10
        assert narrower < 0.85

    @pytest.mark.parametrize("labelled", [5, 8, 12, 30])
    @pytest.mark.parametrize("bias", [0.1, 0.4])
    def test_coverage_from_five_labels_on(self, labelled, bias):
        rng = random.Random(labelled)
        held = sum(0.6 in corrected_mean(*self.world(rng, labelled, 200, bias)) for _ in range(600))
        assert held / 600 > 0.91

    def test_a_useless_judge_leaves_what_people_say(self):
        people, judge = [1.0, 0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 0.0, 0.0, 0.0]
        found = corrected_mean(people, judge, [1.0, 0.0, 1.0])
        assert found.value == pytest.approx(0.8)
        assert found == corrected_mean(people, [1.0] * 5, [1.0] * 9)
        assert 0 < found.lower < 0.5 < found.upper < 1

    def test_labels_that_agree_are_no_certainty(self):
        found = corrected_mean([1.0] * 6, [1.0] * 6, [1.0] * 400)
        assert (found.value, found.upper) == (1, 1)
        assert found.lower < 0.85

    def test_a_perfect_judge_is_as_good_as_people(self):
        rng = random.Random(6)
        people = [float(rng.random() < 0.6) for _ in range(200)]
        alone = [float(rng.random() < 0.6) for _ in range(20_000)]
        found = corrected_mean(people, people, alone)
        assert found.upper - found.lower < 0.03

    @pytest.mark.parametrize(
        "given", [([1.0] * 4, [1.0] * 4, [1.0, 0.0]), ([1.0, 0.0], [1.0], [1.0] * 3)]
    )
    def test_too_little_is_refused(self, given):
        with pytest.raises(ValueError, match="label"):
            corrected_mean(*given)


@given(
    st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=2, max_size=30),
    st.floats(-5, 5),
)
def test_differences_turn_and_shift(pairs, shift):
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    found, turned = paired_difference(one, other), paired_difference(other, one)
    assert found.value == pytest.approx(-turned.value, abs=1e-9)
    assert found.lower == pytest.approx(-turned.upper, abs=1e-9)
    moved = paired_difference([a + shift for a in one], [b + shift for b in other])
    assert moved.value == pytest.approx(found.value, abs=1e-9)
