"""Scores as the field reports them: relative to a baseline at 100, and win rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from noria.statistics import Interval, t_score

__all__ = ["WinRate", "relative_score", "win_rate"]


@dataclass(frozen=True, slots=True)
class WinRate:
    """How often a model was preferred to a baseline."""

    rate: float
    """Percent; a tie is half a win, and a preference of 1.7 seven tenths."""
    standard_error: float | None
    """Percent; None for a single preference."""
    wins: int
    losses: int
    draws: int
    dropped: int
    """None, or outside 1 to 2."""


def relative_score(
    scores: Sequence[float | None], baseline: Sequence[float | None], confidence: float = 0.95
) -> Interval:
    """A model's scores with those of a baseline at 100 (as in Vicuna's report, 2023).

    The value is 100 times sum over sum. The interval is that of a ratio of paired totals, by
    linearisation (Cochran 1977, section 6.4), so questions that are hard for both widen nothing.
    Of a single question the interval is 0 to infinity: it says nothing of others.

    Args:
        scores: one for each question; None where the judge gave none.
        baseline: of the same questions in the same order. A question without both is left out.
        confidence: of the interval.

    Raises:
        ValueError: the lengths differ, no question has both scores, or the baseline's sum is 0.
    """
    if len(scores) != len(baseline):
        raise ValueError(f"there are {len(scores)} scores, and {len(baseline)} of the baseline")
    pairs = [
        (mine, theirs)
        for mine, theirs in zip(scores, baseline, strict=True)
        if mine is not None and theirs is not None
    ]
    total = sum(theirs for _, theirs in pairs)
    if not pairs or total <= 0:
        raise ValueError("the baseline has no score above 0 on any question that both answered")
    ratio = sum(mine for mine, _ in pairs) / total
    count = len(pairs)
    if count == 1:
        return Interval(100 * ratio, 0.0, float("inf"))
    left = sum((mine - ratio * theirs) ** 2 for mine, theirs in pairs)
    error = sqrt(left * count / (count - 1)) / total
    half = t_score(confidence, count - 1) * error
    return Interval(100 * ratio, 100 * (ratio - half), 100 * (ratio + half))


def win_rate(preferences: Sequence[float | None]) -> WinRate:
    """The win rate from preferences on AlpacaEval's scale.

    1 is the baseline, 2 the model, 1.5 or 0 a tie, and what is between is how sure the judge is.
    None, and what is no preference, is dropped and counted.

    Raises:
        ValueError: no preference is left.
    """
    sure = [1.5 if one == 0 else float(one) for one in preferences if one is not None]
    kept = [one - 1 for one in sure if 1 <= one <= 2]
    count = len(kept)
    if not count:
        raise ValueError("there is no preference between 1 and 2")
    mean = sum(kept) / count
    error = None
    if count > 1:
        error = 100 * sqrt(sum((one - mean) ** 2 for one in kept) / (count - 1) / count)
    return WinRate(
        rate=100 * mean,
        standard_error=error,
        wins=sum(one > 0.5 for one in kept),
        losses=sum(one < 0.5 for one in kept),
        draws=sum(one == 0.5 for one in kept),
        dropped=len(preferences) - count,
    )
