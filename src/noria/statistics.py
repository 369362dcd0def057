"""An estimate with its interval, and the interval of a share. Light, so every floor may use it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

__all__ = ["Interval", "wilson", "z_score"]


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
    z = z_score(confidence)
    if total == 0:
        return Interval(0.5, 0.0, 1.0)
    share = passed / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * sqrt(share * (1 - share) / total + z * z / (4 * total**2)) / (1 + z * z / total)
    # At the ends the bound is exact; rounding would leave it a little short.
    lower = 0.0 if passed == 0 else max(0.0, middle - half)
    upper = 1.0 if passed == total else min(1.0, middle + half)
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
