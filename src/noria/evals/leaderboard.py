"""A leaderboard: who is rated how, how sure that is, and who is not rated and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import erf, sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from noria.errors import NoriaError, NotFound
from noria.evals.strength import Reason
from noria.statistics import Interval, range_score, z_score

__all__ = ["POINTS", "Estimates", "Leaderboard", "Rating", "Unrated"]

POINTS = 400 / np.log(10)
"""Elo points for a strength of 1: 400 points are odds of ten to one."""
MEAN = 1000.0


@dataclass(frozen=True, slots=True)
class Rating:
    """One contestant that is rated."""

    model: str
    rating: float
    """Elo points. 400 more are odds of ten to one."""
    lower: float | None
    """None where the method gives no interval (Elo without a bootstrap)."""
    upper: float | None
    rank: int
    """One more than the contestants that are surely better, by simultaneous intervals of all
    differences (see `Estimates.ranks`)."""
    battles: int
    """All of the contestant, against unrated ones too."""
    wins: int
    losses: int
    ties: int
    both_bad: int


@dataclass(frozen=True, slots=True)
class Unrated:
    """One contestant for whom no finite rating is the most likely."""

    model: str
    reason: Reason
    battles: int
    wins: int
    losses: int
    ties: int
    both_bad: int


@dataclass(frozen=True, slots=True)
class Estimates:
    """Ratings of some models in Elo points, as a method gives them; spread and samples are those
    around their mean."""

    models: list[str]
    points: NDArray[np.float64]
    covariance: NDArray[np.float64] | None = None
    samples: NDArray[np.float64] | None = None
    """Rounds x models; where there are any, they make the intervals."""

    def anchored(self, anchor: tuple[str, float] | None) -> Estimates:
        """The same on the scale where their mean is 1000, or where one of them is at its anchor."""
        points, spread, samples = self.points, self.covariance, self.samples
        if anchor is None:
            centred = points - points.mean() if len(points) else points
            return Estimates(
                self.models, MEAN + centred, spread, None if samples is None else MEAN + samples
            )
        model, level = anchor
        if model not in self.models:
            raise NotFound(
                f"The anchor {model} has no rating here.", "Anchor a contestant that is rated."
            )
        at = self.models.index(model)
        if spread is not None:
            spread = spread - spread[at] - spread[:, [at]] + spread[at, at]
        if samples is not None:
            samples = level + samples - samples[:, [at]]
        return Estimates(self.models, level + points - points[at], spread, samples)

    def bounds(self, confidence: float) -> NDArray[np.float64] | None:
        """Models x (lower, upper)."""
        if self.samples is not None:
            tail = (1 - confidence) / 2
            return np.quantile(self.samples, [tail, 1 - tail], axis=0).T
        if self.covariance is None:
            return None
        half = z_score(confidence) * np.sqrt(np.clip(np.diag(self.covariance), 0, None))
        return np.stack([self.points - half, self.points + half], axis=1)

    def ranks(self, confidence: float) -> NDArray[np.intp]:
        """One more than the contestants that are surely better, for each.

        Surely better is one whose lead over the other is above nought by intervals that hold for
        all pairs together (Tukey and Kramer; Hayter 1984). Leads do not depend on an anchor, nor
        those of two contestants on how well a third is known. Without intervals, as rated.
        """
        count = len(self.points)
        spread = self.covariance
        if self.samples is not None:
            spread = np.atleast_2d(np.cov(self.samples.T)) if count else None
        if spread is None or count < 2:
            return count - np.searchsorted(np.sort(self.points), self.points, side="right") + 1
        own = np.diag(spread)
        error = np.sqrt(np.clip(own[:, None] + own - 2 * spread, 0, None))
        lead = self.points[:, None] - self.points
        surely = lead > range_score(confidence, count) * error
        np.fill_diagonal(surely, val=False)
        return np.asarray(surely.sum(axis=0) + 1, np.intp)


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Ratings of contestants from battles."""

    battles: int
    both_bad: int
    """How many of them ended with both answers bad: a tie in the fit."""
    dropped: Mapping[str, int]
    """Rows that could not be used, by reason."""
    not_selected: int
    """Sound rows outside the category, language, judge or time that was asked for."""
    method: Literal["bt", "elo"]
    intervals: Literal["sandwich", "clustered", "bootstrap", "posterior"] | None
    confidence: float
    ratings: list[Rating]
    """The best first."""
    unrated: list[Unrated]
    style: Mapping[str, Interval] | None
    """What one standard deviation more of a measure adds, in Elo points."""
    rounds: int
    """Of the bootstrap."""
    rounds_with_prior: int
    """Rounds without a finite fit; see `bootstrap.Rounds`."""
    _estimates: Estimates = field(repr=False)

    def __getitem__(self, model: str) -> Rating:
        """The rating of a model.

        Raises:
            KeyError: it has none.
        """
        for rating in self.ratings:
            if rating.model == model:
                return rating
        raise KeyError(model)

    def win_chance(self, model: str, other: str) -> float:
        """How likely `model` beats `other`, by their ratings."""
        return float(1 / (1 + np.exp(-self.difference(model, other).value / POINTS)))

    def difference(self, model: str, other: str) -> Interval:
        """By how many points `model` is ahead of `other`.

        Narrower than the two intervals let one think: what both share cancels out.

        Raises:
            KeyError: one of them is not rated.
            NoriaError: the method gives no intervals.
        """
        ahead = self[model].rating - self[other].rating
        samples = self._samples(model, other)
        if samples is not None:
            tail = (1 - self.confidence) / 2
            lower, upper = np.quantile(samples, [tail, 1 - tail])
            return Interval(ahead, float(lower), float(upper))
        half = z_score(self.confidence) * self._error(model, other)
        return Interval(ahead, ahead - half, ahead + half)

    def chance_of_at_least(self, model: str, other: str) -> float:
        """How probable it is that `model` is at least as strong as `other`.

        Raises:
            KeyError: one of them is not rated.
            NoriaError: the method gives no intervals.
        """
        samples = self._samples(model, other)
        if samples is not None:
            return float(np.mean(samples > 0) + np.mean(samples == 0) / 2)
        ahead, error = self[model].rating - self[other].rating, self._error(model, other)
        if error == 0:
            return 0.5 + 0.5 * float(np.sign(ahead))
        return 0.5 * (1 + erf(ahead / error / sqrt(2)))

    def as_json(self) -> dict[str, Any]:
        """What `noria arena rate --json` prints. Nothing is rounded."""
        return {
            "battles": self.battles,
            "both_bad": self.both_bad,
            "dropped": dict(self.dropped),
            "not_selected": self.not_selected,
            "method": self.method,
            "intervals": self.intervals,
            "confidence": self.confidence,
            "rounds": self.rounds,
            "rounds_with_prior": self.rounds_with_prior,
            "ratings": [asdict(rating) for rating in self.ratings],
            "unrated": [asdict(one) for one in self.unrated],
            "style": self.style and {name: asdict(effect) for name, effect in self.style.items()},
        }

    def _places(self, model: str, other: str) -> tuple[int, int]:
        return self._estimates.models.index(model), self._estimates.models.index(other)

    def _samples(self, model: str, other: str) -> NDArray[np.float64] | None:
        first, second = self._places(model, other)
        samples = self._estimates.samples
        return None if samples is None else samples[:, first] - samples[:, second]

    def _error(self, model: str, other: str) -> float:
        if self._estimates.covariance is None:
            raise NoriaError(
                f"Ratings by {self.method} have no intervals without a bootstrap.",
                "Rate with bootstrap=1000, or with method='bt'.",
            )
        first, second = self._places(model, other)
        spread = self._estimates.covariance
        variance = spread[first, first] + spread[second, second] - 2 * spread[first, second]
        return sqrt(max(0.0, float(variance)))
