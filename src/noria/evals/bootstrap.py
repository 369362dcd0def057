"""The multinomial bootstrap of Bradley-Terry from pair counts: battles drawn again, fits repeated.

Resampling N battles with replacement is one multinomial draw over the kinds of battles, so a round
costs the number of pairs and not the number of battles. Nearly all of it is sampling.

Few battles hold less than can happen: where all were ties, every sample is all ties. So what is
drawn from holds two battles more (those of `strength.dispersion`) that were won or lost as the fit
expects, spread over the pairs. They move no estimate, and with many battles they are nothing.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.evals.battles import Outcome
from noria.evals.strength import DECIDED, Pairs, fit, rateable, sigmoid, solvable
from noria.evals.tally import Cells

__all__ = ["Rounds", "bootstrap", "multinomial", "widened"]

Floats = NDArray[np.float64]
_TOGETHER = 32
_ARRIVED = 1e-9
_CHORDS = 40
_PRIOR = 1.0
_MANY = 100_000
"""From so many battles on two more change no interval in its first four digits."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """What the rounds gave."""

    strengths: Floats
    """Rounds x contestants, each with a mean of 0."""
    with_prior: int
    """Rounds in which somebody happened to win or lose everything, so that no finite fit exists.
    Those were fitted with a prior: one battle each, half won, with an average contestant."""


def bootstrap(
    cells: Cells, strengths: Floats, rounds: int, seed: int | None, prior: float = 0.0
) -> Rounds:
    """Fit `rounds` samples of the battles; the same seed gives the same rounds.

    Args:
        cells: battles, as `Tally.cells` gives them, of contestants that are all `rateable`, or any
            if there is a prior.
        strengths: their fit.
        rounds: how many samples.
        seed: None takes one from the system.
        prior: that of `strength.fit`, in every round.
    """
    sampler = _Sampler(cells, strengths, prior)
    sizes = [min(_TOGETHER, rounds - done) for done in range(0, rounds, _TOGETHER)]
    seeds = np.random.SeedSequence(seed).spawn(len(sizes))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        done = list(threads.map(sampler.fits, sizes, seeds))
    return Rounds(
        np.vstack([strengths for strengths, _ in done]), sum(with_prior for _, with_prior in done)
    )


def widened(samples: Floats, spread: Floats, seed: int | None) -> Floats:
    """Rounds that vary no less than the variance of the fit says.

    Contestants with few battles do: in most rounds they had to be fitted with a prior, which pulls
    them together. What clearly lacks (a third) is added as normal noise of that covariance.

    Args:
        samples: rounds x contestants.
        spread: the covariance of the fit (`strength.covariance`).
        seed: of the noise.
    """
    lacks = spread - 1.5 * np.atleast_2d(np.cov(samples.T))
    level, axes = np.linalg.eigh(lacks)
    if level.max(initial=0.0) <= 0:
        return samples
    noise = np.random.default_rng(seed).normal(size=samples.shape)
    return np.asarray(samples + noise * np.sqrt(np.clip(level, 0, None)) @ axes.T)


def multinomial(
    rng: np.random.Generator, total: int, chances: Floats, rounds: int
) -> NDArray[np.int64]:
    """`rounds` exact draws of Multinomial(total, chances), twice as fast as one binomial a cell.

    Given their sum, independent Poisson counts are multinomial. So draw with a mean a little below
    `total`, and what is short one by one; a draw beyond `total` (1 in 30,000) is made again.
    """
    mean = max(0.0, total - 4 * total**0.5)
    counts = rng.poisson(mean * chances, (rounds, len(chances)))
    short = total - counts.sum(axis=1)
    while (over := np.flatnonzero(short < 0)).size:
        counts[over] = rng.poisson(mean * chances, (len(over), len(chances)))
        short[over] = total - counts[over].sum(axis=1)
    steps = np.cumsum(chances)
    for row, missing in zip(counts, short.tolist(), strict=True):
        drawn = np.searchsorted(steps, np.sort(rng.random(missing)) * steps[-1], side="right")
        row += np.bincount(np.minimum(drawn, len(chances) - 1), minlength=len(chances))
    return np.asarray(counts, np.int64)


def _smoothed(cells: Cells, strengths: Floats) -> tuple[Cells, Floats]:
    """The cells with a win and a loss for every pair, and how many battles each stands for."""
    total = float(cells.count.sum())
    if total > _MANY:
        return cells, cells.count.astype(np.float64)
    size = len(strengths)
    codes, place = np.unique(cells.first * size + cells.second, return_inverse=True)
    first, second = np.divmod(codes, size)
    met = np.bincount(place, cells.count, len(codes))
    weight = np.bincount(place, cells.weight * cells.count, len(codes)) / met
    chances = sigmoid(strengths[first] - strengths[second])
    more = DECIDED * met / total
    both = Cells(
        np.r_[cells.first, first, first], np.r_[cells.second, second, second],
        np.r_[cells.outcome, np.full(len(codes), Outcome.A), np.full(len(codes), Outcome.B)],
        np.r_[cells.weight, weight, weight],
        np.r_[cells.count, np.zeros(2 * len(codes), np.int64)],
    )  # fmt: skip
    counts = np.r_[cells.count, more * chances, more * (1 - chances)]
    order = np.lexsort((both.second, both.first))
    return both.select(order), np.asarray(counts[order], np.float64)


class _Sampler:
    """What all rounds share: the cells, which are in the order of pairs, and the curvature."""

    def __init__(self, cells: Cells, strengths: Floats, prior: float) -> None:
        self.prior = prior
        size = len(strengths)
        self.total = int(cells.count.sum())
        self.cells, drawn_from = _smoothed(cells, strengths)
        self.strengths = strengths
        self.chances = drawn_from / drawn_from.sum()
        codes = self.cells.first * size + self.cells.second
        self.starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
        self.first, self.second = self.cells.first[self.starts], self.cells.second[self.starts]
        self.by_second = np.argsort(self.second, kind="stable")
        pairs = Pairs.of(cells, size)
        self.inverse = np.linalg.inv(solvable(pairs.curvature(strengths)))

    def fits(self, rounds: int, seed: np.random.SeedSequence) -> tuple[Floats, int]:
        """The fits of some rounds, and how many of them needed the prior."""
        counts = multinomial(np.random.default_rng(seed), self.total, self.chances, rounds)
        weighed = counts * self.cells.weight
        battles = np.add.reduceat(weighed, self.starts, axis=1)
        score = np.add.reduceat(weighed * self.cells.score, self.starts, axis=1)
        strengths = np.tile(self.strengths, (rounds, 1))
        moved = np.full(rounds, np.inf)
        # A sample's curvature is nearly that of all battles: its inverse does for every round.
        for _ in range(0 if self.prior else _CHORDS):
            chances = sigmoid(strengths[:, self.first] - strengths[:, self.second])
            step = self._gather(score - battles * chances) @ self.inverse
            strengths += step
            moved = np.abs(step).max(axis=1)
            if moved.max() <= _ARRIVED:
                break
        strengths -= strengths.mean(axis=1, keepdims=True)
        with_prior = 0
        for row in np.flatnonzero(~(moved <= _ARRIVED)):
            strengths[row], helped = self._alone(counts[row])
            with_prior += helped
        return strengths, with_prior

    def _gather(self, value: Floats) -> Floats:
        """Add a value of each pair to its first contestant and take it from its second."""
        found = np.zeros((len(value), len(self.strengths)))
        for who, mine, sign in (
            (self.first, value, 1),
            (self.second[self.by_second], value[:, self.by_second], -1),
        ):
            starts = np.flatnonzero(np.r_[True, who[1:] != who[:-1]])
            found[:, who[starts]] += sign * np.add.reduceat(mine, starts, axis=1)
        return found

    def _alone(self, counts: NDArray[np.int64]) -> tuple[Floats, bool]:
        """One round that is too far from the fit of all battles to share its curvature."""
        size = len(self.strengths)
        cells = self.cells
        drawn = Cells(cells.first, cells.second, cells.outcome, cells.weight, counts)
        drawn = drawn.select(counts > 0)
        pairs = Pairs.of(drawn, size)
        lost = not self.prior and not rateable(drawn, size)[0].all()
        strengths = fit(pairs, _PRIOR if lost else self.prior)
        return strengths - strengths.mean(), lost
