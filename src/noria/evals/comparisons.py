"""Is one better than the other? Means with intervals, paired tests, how many questions it takes.

Everything is paired by question: what is hard for both cancels out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, comb, inf, isfinite, sqrt

from noria.statistics import Interval, score_interval, t_score, z_score

__all__ = [
    "McNemar",
    "PairedDifference",
    "corrected_mean",
    "holm",
    "mcnemar",
    "mean_interval",
    "paired_bootstrap",
    "paired_difference",
    "questions_needed",
]


_EXACT, _MANY = 13, 30
"""Questions up to which every exchange is tried, and from which the bootstrap gives intervals."""
_TOGETHER = 1000
_LEAST_LABELS, _MANY_LABELS = 5, 100


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
    lowest, highest = within
    if count > 1 and isfinite(highest - lowest) and not _deviation(values):
        # Values that are all alike say little of how much others vary, but no values on a scale
        # vary more than those at its ends, whose interval is Wilson's.
        width = highest - lowest
        share = min(1.0, max(0.0, (mean - lowest) / width))
        bound = score_interval(share, count, confidence)
        return Interval(mean, lowest + width * bound.lower, lowest + width * bound.upper)
    half = inf
    if count > 1:
        half = t_score(confidence, count - 1) * _deviation(values) / sqrt(count)
    return Interval(mean, max(mean - half, lowest), min(mean + half, highest))


def paired_difference(
    one: Sequence[float], other: Sequence[float], confidence: float = 0.95
) -> Interval:
    """The mean difference of the same questions, with Student's interval.

    One more difference, of nought, counts in the variance: differences that are all alike say
    little of the next one.

    Raises:
        ValueError: the lengths differ, or there is no question.
    """
    gaps = _gaps(one, other)
    count = len(gaps)
    if not count:
        raise ValueError("there is no question to compare on")
    mean, half = sum(gaps) / count, inf
    if count > 1:
        half = t_score(confidence, count - 1) * _deviation([*gaps, 0.0]) / sqrt(count)
    return Interval(mean, mean - half, mean + half)


def paired_bootstrap(
    one: Sequence[float],
    other: Sequence[float],
    *,
    rounds: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> PairedDifference:
    """The mean difference of the same questions, and whether it is beyond noise.

    The test exchanges the two on every question (Fisher 1935): all ways up to 13 questions, so
    that it is exact, and `rounds` drawn ones beyond, which holds its level too. Of `n` questions it
    cannot be below `2 / 2**n`: five are too few for any difference. The interval is Student's below
    30 questions, where the bootstrap's is too narrow, and the bootstrap's from there (Efron 1979).

    Repeats of a question are averaged first: they are not questions of their own.

    Raises:
        ValueError: the lengths differ, or there is no question.
    """
    import numpy as np

    gaps = np.array(_gaps(one, other))
    if not len(gaps):
        raise ValueError("there is no question to compare on")
    rng = np.random.default_rng(seed)
    interval = paired_difference(one, other, confidence)
    if len(gaps) >= _MANY:
        means = np.empty(rounds)
        for begin in range(0, rounds, _TOGETHER):
            drawn = rng.integers(0, len(gaps), (min(_TOGETHER, rounds - begin), len(gaps)))
            means[begin : begin + len(drawn)] = gaps[drawn].mean(axis=1)
        tail = (1 - confidence) / 2
        lower, upper = np.quantile(means, [tail, 1 - tail])
        if lower < upper:
            interval = Interval(interval.value, float(lower), float(upper))
    sum_seen = abs(float(gaps.sum())) * (1 - 1e-12)
    apart = gaps[gaps != 0]
    if len(gaps) <= _EXACT:
        signs = 1 - 2 * (np.arange(2 ** len(apart))[:, None] >> np.arange(len(apart)) & 1)
        p_value = float(np.mean(np.abs(signs @ apart) >= sum_seen))
    else:
        as_far = 0
        for begin in range(0, rounds, _TOGETHER):
            size = (min(_TOGETHER, rounds - begin), len(apart))
            signs = 1 - 2 * rng.integers(0, 2, size, dtype=np.int8)
            as_far += int(np.count_nonzero(np.abs(signs @ apart) >= sum_seen))
        p_value = (as_far + 1) / (rounds + 1)
    return PairedDifference(interval, p_value, len(gaps))


def holm(p_values: Sequence[float]) -> list[float]:
    """P values of several tests, corrected so that any is below `a` by chance with at most `a`
    (Holm 1979), in their order."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected, most = [0.0] * len(p_values), 0.0
    for done, place in enumerate(order):
        most = max(most, min(1.0, (len(p_values) - done) * p_values[place]))
        corrected[place] = most
    return corrected


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
    difference: float | Interval, deviation: float, *, power: float = 0.8, confidence: float = 0.95
) -> int:
    """How many questions it takes to see a difference that small.

    Args:
        difference: the mean difference to be seen, above or below 0. Of an interval its end
            nearest to 0 is taken: the smallest difference that it may be.
        deviation: the standard deviation of the differences of single questions.
        power: how often it is to be seen, if it is there.
        confidence: one less how often it may be seen though it is not there.

    Raises:
        ValueError: the difference is, or may be, 0, which no number of questions shows.
    """
    if isinstance(difference, Interval):
        nearest = min(abs(difference.lower), abs(difference.upper))
        difference = 0.0 if 0 in difference else nearest
    if not difference:
        raise ValueError("difference is, or may be, 0, which no number of questions shows")
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
    Few labels do not tell the judge's bias, so below 100 its weight is less, by n / (n + 20). Nor
    do few labels that agree tell how far others differ: one more, off by half a scale of shares
    (a quarter of another one), counts in the variance. The interval of shares is Wilson's for as
    many labels as the variance comes to, that of other values Student's.

    Args:
        people: labels of people; at least five.
        judge: the judge's verdicts on the same things.
        judge_alone: the judge's verdicts on things that nobody labelled, drawn alike.
        confidence: of the interval.

    Raises:
        ValueError: the lengths differ, or there are under five labels or two verdicts alone.
    """
    if len(people) != len(judge):
        raise ValueError(f"there are {len(people)} labels, and {len(judge)} verdicts on them")
    count, alone = len(people), len(judge_alone)
    if count < _LEAST_LABELS or alone < 2:
        raise ValueError(
            f"it takes at least {_LEAST_LABELS} labels and two verdicts without; "
            f"there are {count} and {alone}"
        )
    mean_people, mean_judge = sum(people) / count, sum(judge) / count
    together = sum(
        (label - mean_people) * (verdict - mean_judge)
        for label, verdict in zip(people, judge, strict=True)
    ) / (count - 1)
    spread = _deviation([*judge, *judge_alone]) ** 2
    weight = 0.0
    if spread:
        weight = min(1.0, max(0.0, together / ((1 + count / alone) * spread)))
        if count < _MANY_LABELS:
            weight *= count / (count + 20)
    left = [label - weight * verdict for label, verdict in zip(people, judge, strict=True)]
    value = weight * sum(judge_alone) / alone + sum(left) / count
    values = [*people, *judge, *judge_alone]
    share = min(values) >= 0 and max(values) <= 1
    scale = 1.0 if share else max(values) - min(values)
    prior = scale**2 / (4 if share else 16)
    squares = _deviation(left) ** 2 * (count - 1) + prior
    variance = weight**2 * _deviation(judge_alone) ** 2 / alone + squares / count**2
    if share:
        value = min(1.0, max(0.0, value))
        worth = (value * (1 - value) + prior / count) / variance
        return score_interval(value, worth, confidence)
    half = t_score(confidence, count - 1) * sqrt(variance)
    return Interval(value, value - half, value + half)


def _gaps(one: Sequence[float], other: Sequence[float]) -> list[float]:
    if len(one) != len(other):
        raise ValueError(f"there are {len(one)} results of one, and {len(other)} of the other")
    return [mine - theirs for mine, theirs in zip(one, other, strict=True)]


def _deviation(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
