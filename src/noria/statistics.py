"""An estimate with its interval, and the interval of a share. Light, so every floor may use it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import erf, exp, lgamma, log, log1p, pi, sqrt

__all__ = ["Interval", "range_score", "score_interval", "t_score", "wilson", "z_score"]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, and the bounds that it is between with the confidence that was asked for."""

    value: float
    lower: float
    upper: float

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.lower:.3g}, {self.upper:.3g}]"

    def __contains__(self, value: float) -> bool:
        return self.lower <= value <= self.upper


def wilson(passed: int, total: int, confidence: float = 0.95) -> Interval:
    """The share `passed / total` with its score interval (Wilson 1927).

    It stays within 0 and 1 and has a width at 0 of n and at n of n, where mean plus or minus two
    standard errors has none. Without any trial the share is unknown: 0.5 in [0, 1].

    Raises:
        ValueError: `passed` is not between 0 and `total`, or `confidence` is not between 0 and 1.
    """
    if not 0 <= passed <= total:
        raise ValueError(f"passed is {passed}, which is not between 0 and total, {total}")
    z_score(confidence)
    if total == 0:
        return Interval(0.5, 0.0, 1.0)
    return score_interval(passed / total, total, confidence)


def score_interval(share: float, total: float, confidence: float = 0.95) -> Interval:
    """`wilson` of a share that need not be a whole number of `total` trials.

    It holds for a mean of any values between 0 and 1 too, and is then too wide rather than too
    narrow: no such values vary more than those that are 0 or 1.

    Args:
        share: the estimate, from 0 to 1.
        total: how many trials it is worth.
        confidence: of the interval.
    """
    z = z_score(confidence)
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * sqrt(share * (1 - share) / total + z * z / (4 * total**2)) / (1 + z * z / total)
    # At the ends the bound is exact; rounding would leave it a little short.
    lower = 0.0 if share == 0 else max(0.0, middle - half)
    upper = 1.0 if share == 1 else min(1.0, middle + half)
    return Interval(share, lower, upper)


@lru_cache(maxsize=16)
def z_score(confidence: float) -> float:
    """How many standard errors on both sides hold `confidence` of a normal distribution.

    Raises:
        ValueError: `confidence` is not between 0 and 1.
    """
    from statistics import NormalDist

    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, which is not between 0 and 1")
    return NormalDist().inv_cdf(0.5 + confidence / 2)


@lru_cache(maxsize=256)
def range_score(confidence: float, count: int) -> float:
    """`z_score` for all differences between `count` estimates together: the quantile of the range
    of as many normal variables, in standard errors of a difference (Tukey 1953).

    Raises:
        ValueError: an argument is out of its range.
    """
    low = z_score(confidence)
    if count < 2:
        raise ValueError(f"count is {count}; a difference takes at least 2")
    high = 2 * low + 4
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if _within(middle, count) >= confidence else (middle, high)
    return high


def _within(reach: float, count: int) -> float:
    """How probable it is that `count` normal variables lie within `reach * sqrt(2)`."""
    width, steps = reach * sqrt(2), 400
    total = 0.0
    for step in range(steps + 1):
        top = -8 + 16 * step / steps
        inside = 0.5 * (erf(top / sqrt(2)) - erf((top - width) / sqrt(2)))
        total += exp(-top * top / 2) * inside ** (count - 1)
    return count * total * 16 / steps / sqrt(2 * pi)


@lru_cache(maxsize=256)
def t_score(confidence: float, freedom: float) -> float:
    """`z_score` where the standard error is itself estimated (Student 1908).

    Args:
        confidence: between 0 and 1.
        freedom: degrees of freedom, such as one less than the number of observations.

    Raises:
        ValueError: an argument is out of its range.
    """
    low = z_score(confidence)
    if freedom <= 0:
        raise ValueError(f"freedom is {freedom}, which is not above 0")
    high = max(1.0, low)
    while _outside(high, freedom) > 1 - confidence:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _outside(middle, freedom) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _outside(t: float, freedom: float) -> float:
    """The chance that a t variable is beyond `t` on either side: an incomplete beta function."""
    return _beta(freedom / (freedom + t * t), freedom / 2, 0.5)


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz's method)."""
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    tiny = 1e-300
    c, d = 1.0, 1 / max(tiny, 1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 2000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + step * d or tiny)
            c = 1 + step / c or tiny
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    front = lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)
    return exp(front) * fraction / a
