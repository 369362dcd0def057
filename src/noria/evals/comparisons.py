"""Is one better than the other? Means with intervals, paired tests, how many questions it takes.

Everything is paired by question: what is hard for both cancels out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, comb, inf, sqrt

from noria.statistics import Interval, t_score, z_score

__all__ = [
    "McNemar",
    "PairedDifference",
    "corrected_mean",
    "mcnemar",
    "mean_interval",
    "paired_bootstrap",
    "paired_difference",
    "questions_needed",
]


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two contestants that pass or fail the same questions."""

    only_one: int
    """Questions that only the first passed."""
    only_other: int
    p_value: float
    """How often chance would split those as unevenly, were both equally good (exact, two sides)."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean of one less mean of the other."""

    difference: Interval
    p_value: float
    """How often a difference of nought would look as large (two sides)."""
    count: int


def mean_interval(
    values: Sequence[float],
    confidence: float = 0.95,
    within: tuple[float, float] = (-inf, inf),
) -> Interval:
    """A mean with Student's interval. A single value says nothing of the others.

    Args:
        values: one or more.
        confidence: how often such an interval holds the true mean.
        within: the scale of the values. The mean cannot lie beyond, so the interval ends there.

    Raises:
        ValueError: there is no value.
    """
    count = len(values)
    if not count:
        raise ValueError("there is no value to take a mean of")
    mean = sum(values) / count
    half = inf
    if count > 1:
        half = t_score(confidence, count - 1) * _deviation(values) / sqrt(count)
    lowest, highest = within
    return Interval(mean, max(mean - half, lowest), min(mean + half, highest))


def paired_difference(
    one: Sequence[float], other: Sequence[float], confidence: float = 0.95
) -> Interval:
    """The mean difference of the same questions, with Student's interval.

    Raises:
        ValueError: the lengths differ, or there is no question.
    """
    return mean_interval(_gaps(one, other), confidence)


def paired_bootstrap(
    one: Sequence[float],
    other: Sequence[float],
    *,
    rounds: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> PairedDifference:
    """The mean difference of the same questions, by drawing the questions again (Efron 1979).

    Repeats of a question are averaged first: they are not questions of their own.

    Raises:
        ValueError: the lengths differ, or there is no question.
    """
    import numpy as np

    gaps = np.array(_gaps(one, other))
    if not len(gaps):
        raise ValueError("there is no question to compare on")
    rng, means = np.random.default_rng(seed), np.empty(rounds)
    for begin in range(0, rounds, 1000):
        drawn = rng.integers(0, len(gaps), (min(1000, rounds - begin), len(gaps)))
        means[begin : begin + len(drawn)] = gaps[drawn].mean(axis=1)
    tail = (1 - confidence) / 2
    lower, upper = np.quantile(means, [tail, 1 - tail])
    least = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return PairedDifference(
        Interval(float(gaps.mean()), float(lower), float(upper)),
        min(1.0, 2 * (least + 1) / (rounds + 1)),
        len(gaps),
    )


def mcnemar(one: Sequence[bool], other: Sequence[bool]) -> McNemar:
    """Whether two contestants pass equally often, by the questions that only one of them passed
    (McNemar 1947, in its exact form).

    Raises:
        ValueError: the lengths differ.
    """
    gaps = _gaps(one, other)
    only_one, only_other = sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps)
    split = only_one + only_other
    tail = sum(comb(split, place) for place in range(min(only_one, only_other) + 1))
    # Integers until the end: 2 ** split is beyond a float from 1,024 on.
    return McNemar(only_one, only_other, min(1.0, 2 * tail / 2**split))


def questions_needed(
    difference: float, deviation: float, *, power: float = 0.8, confidence: float = 0.95
) -> int:
    """How many questions it takes to see a difference that small.

    Args:
        difference: the mean difference to be seen, above or below 0.
        deviation: the standard deviation of the differences of single questions.
        power: how often it is to be seen, if it is there.
        confidence: one less how often it may be seen though it is not there.

    Raises:
        ValueError: the difference is 0, which no number of questions shows.
    """
    if not difference:
        raise ValueError("difference is 0, which no number of questions shows")
    # z_score is two-sided; power looks at one side.
    reach = z_score(confidence) + (z_score(2 * power - 1) if power > 0.5 else 0.0)
    return max(2, ceil((reach * deviation / difference) ** 2))


def corrected_mean(
    people: Sequence[float],
    judge: Sequence[float],
    judge_alone: Sequence[float],
    confidence: float = 0.95,
) -> Interval:
    """What people would say on average, from a judge's many verdicts and a few labels of people.

    Prediction-powered inference with its tuned weight (Angelopoulos et al. 2023, "PPI++"): the
    judge's mean, less its bias on what people labelled. A useless judge gets the weight 0, which
    leaves people's own mean; a biased one is still corrected. For a win rate give 1, 0.5 and 0.
    Below some 60 labels the interval is a little too narrow.

    Args:
        people: labels of people.
        judge: the judge's verdicts on the same things.
        judge_alone: the judge's verdicts on things that nobody labelled, drawn alike.
        confidence: of the interval.

    Raises:
        ValueError: the lengths differ, or there are under two labels or verdicts alone.
    """
    if len(people) != len(judge):
        raise ValueError(f"there are {len(people)} labels, and {len(judge)} verdicts on them")
    count, alone = len(people), len(judge_alone)
    if count < 2 or alone < 2:
        raise ValueError("it takes at least two labels and two verdicts without")
    mean_people, mean_judge = sum(people) / count, sum(judge) / count
    together = sum(
        (label - mean_people) * (verdict - mean_judge)
        for label, verdict in zip(people, judge, strict=True)
    ) / (count - 1)
    spread = _deviation([*judge, *judge_alone]) ** 2
    weight = 0.0
    if spread:
        weight = min(1.0, max(0.0, together / ((1 + count / alone) * spread)))
    left = [label - weight * verdict for label, verdict in zip(people, judge, strict=True)]
    value = weight * sum(judge_alone) / alone + sum(left) / count
    variance = weight**2 * _deviation(judge_alone) ** 2 / alone + _deviation(left) ** 2 / count
    half = t_score(confidence, count - 1) * sqrt(variance)
    return Interval(value, value - half, value + half)


def _gaps(one: Sequence[float], other: Sequence[float]) -> list[float]:
    if len(one) != len(other):
        raise ValueError(f"there are {len(one)} results of one, and {len(other)} of the other")
    return [mine - theirs for mine, theirs in zip(one, other, strict=True)]


def _deviation(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
