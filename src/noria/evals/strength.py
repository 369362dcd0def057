"""Bradley-Terry strengths: the exact maximum likelihood fit by Newton, and its covariance.

`P(i beats j) = 1 / (1 + exp(strength_j - strength_i))` (Bradley and Terry 1952). A finite maximum
exists when, and only when, every contestant of a group can be reached from every other one along
"took something from" (Ford 1957); `rateable` finds the group.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.evals.battles import Outcome
from noria.evals.tally import Cells

__all__ = [
    "DECIDED",
    "Pairs",
    "Reason",
    "covariance",
    "dispersion",
    "errors",
    "fit",
    "laplacian",
    "rateable",
    "sigmoid",
    "solvable",
]

Floats = NDArray[np.float64]
_STEP = 1e-11
"""Newton has arrived when no strength moves by more. It converges quadratically: what is left is
the square of it."""
_ROUNDS = 200
DECIDED = 2.0
"""The prior of `dispersion`: so many battles between equals that were no ties."""
_MODEL_BATTLES = 5.0
"""Of how many battles of a pair its own errors count half, and the model's the rest."""


class Reason(enum.StrEnum):
    """Why a contestant is unrated: no finite rating is the most likely one."""

    ONLY_WINS = "only_wins"
    ONLY_LOSSES = "only_losses"
    ONE_WAY = "one_way"
    """Its group took everything, or nothing, from those that are rated."""
    ISLAND = "island"
    """No chain of battles leads from it to those that are rated."""


def sigmoid(x: Floats) -> Floats:
    """`1 / (1 + exp(-x))`, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


@dataclass(frozen=True, slots=True)
class Pairs:
    """What the fit needs of each pair that met."""

    size: int
    """How many contestants there are."""
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    battles: Floats
    """Weighted."""
    score: Floats
    """What `first` took of them."""

    @classmethod
    def of(cls, cells: Cells, size: int) -> Pairs:
        """Add up the cells of each pair."""
        codes, place = np.unique(cells.first * size + cells.second, return_inverse=True)
        weight = cells.weight * cells.count
        first, second = np.divmod(codes, size)
        return cls(
            size,
            first,
            second,
            np.asarray(np.bincount(place, weight, len(codes)), np.float64),
            np.asarray(np.bincount(place, weight * cells.score, len(codes)), np.float64),
        )

    def chances(self, strengths: Floats) -> Floats:
        """How likely `first` beats `second`."""
        return sigmoid(strengths[self.first] - strengths[self.second])

    def gather(self, value: Floats) -> Floats:
        """Add a value of each pair to its first contestant and take it from its second."""
        taken = np.bincount(self.first, value, self.size)
        return np.asarray(taken - np.bincount(self.second, value, self.size), np.float64)

    def curvature(self, strengths: Floats) -> Floats:
        """How sharply the likelihood bends: its second derivative, with the sign turned."""
        chances = self.chances(strengths)
        return laplacian(self.first, self.second, self.battles * chances * (1 - chances), self.size)


def laplacian(
    first: NDArray[np.intp], second: NDArray[np.intp], value: Floats, size: int
) -> Floats:
    """The sum of `value (e_first - e_second)(e_first - e_second)'`."""
    across = np.bincount(first * size + second, value, size**2).reshape(size, size)
    across += across.T
    return np.asarray(np.diag(across.sum(axis=1)) - across)


def solvable(curve: Floats) -> Floats:
    """A curvature that can be inverted: level strengths have none, and the likelihood does not
    care how many are added to all. Results that sum to nought stay as they are."""
    return np.asarray(curve + np.trace(curve) / len(curve) ** 2)


def fit(pairs: Pairs, prior: float = 0.0, start: Floats | None = None) -> Floats:
    """The most likely strengths, with a mean of 0.

    Args:
        pairs: battles of contestants that are all `rateable`, or any if there is a prior.
        prior: battles with an average contestant (strength 0), half won, that each has beside its
            own.
        start: strengths to begin from.
    """
    strengths = np.zeros(pairs.size) if start is None else start
    level = _likelihood(pairs, strengths, prior)
    for _ in range(_ROUNDS):
        slope = pairs.gather(pairs.score - pairs.battles * pairs.chances(strengths))
        curve = pairs.curvature(strengths)
        if prior:
            own = sigmoid(strengths)
            slope += prior * (0.5 - own)
            curve[np.diag_indices(pairs.size)] += prior * own * (1 - own)
        else:
            curve = solvable(curve)
        step = np.linalg.solve(curve, slope)
        # The likelihood is concave: some part of the step climbs. Near the top rounding hides it.
        part, moved = 1.0, float(np.abs(step).max(initial=0))
        while moved > 1e-6:
            climbed = _likelihood(pairs, strengths + part * step, prior)
            if climbed >= level or part < 1e-9:
                level = climbed
                break
            part /= 2
        strengths = strengths + part * step
        if moved <= _STEP * (1 + float(np.abs(strengths).max(initial=0))):
            break
    return strengths if prior else strengths - strengths.mean()


def _likelihood(pairs: Pairs, strengths: Floats, prior: float) -> float:
    gap = strengths[pairs.first] - strengths[pairs.second]
    level = pairs.score @ gap - pairs.battles @ np.logaddexp(0, gap)
    if prior:
        level += prior * float(np.sum(0.5 * strengths - np.logaddexp(0, strengths)))
    return float(level)


def covariance(pairs: Pairs, cells: Cells, strengths: Floats, prior: float = 0.0) -> Floats:
    """The covariance of strengths around their mean.

    Without a prior the sandwich (Huber 1967, White 1982), which holds where the model is wrong
    too: ties, weights, and contestants that some others find easier than the rest do. With a
    prior, whose certainty is not in the data, the inverse curvature of the posterior.

    The squared errors of a pair that met `n` times are only known up to `n`: where all its battles
    were ties they are nought. So they count `n / (n + 5)`, and what the model expects of the pair
    counts the rest: `p (1 - p)` times the dispersion of all battles (see `dispersion`). The
    variance therefore never vanishes, and with many battles nothing but the sandwich is left.
    """
    curve = pairs.curvature(strengths)
    if prior:
        own = sigmoid(strengths)
        curve[np.diag_indices(pairs.size)] += prior * own * (1 - own)
        spread = np.linalg.inv(curve)
        across = spread.mean(axis=0)
        return np.asarray(spread - across - across[:, None] + across.mean())
    chances = sigmoid(strengths[cells.first] - strengths[cells.second])
    squares = errors(
        cells.first, cells.second, cells.score, cells.weight, cells.count.astype(np.float64),
        chances, pairs.size,
    )  # fmt: skip
    meat = laplacian(cells.first, cells.second, squares, pairs.size)
    # What `solvable` adds is level, and levels are nothing to the meat: the product is centred.
    bread = np.linalg.inv(solvable(curve))
    return np.asarray(bread @ meat @ bread)


def errors(
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    score: Floats,
    weight: Floats,
    count: Floats,
    chances: Floats,
    size: int,
    effects: int = 0,
) -> Floats:
    """The squared errors that a fit leaves in battles, shrunk as `covariance` says.

    Args:
        first: a contestant of each kind of battle, by its place.
        second: the other.
        score: what `first` took of each.
        weight: of each in the fit.
        count: how many there were.
        chances: how likely `first` wins, by the fit.
        size: how many contestants there are.
        effects: how many parameters the fit has beside their strengths.
    """
    expected = chances * (1 - chances)
    spread = dispersion(score, count, chances, size - 1 + effects)
    codes = np.minimum(first, second) * size + np.maximum(first, second)
    met = np.bincount(codes, count)[codes] if len(codes) else count
    known = met / (met + _MODEL_BATTLES)
    squares = known * (score - chances) ** 2 + (1 - known) * spread * expected
    return np.asarray(count * weight**2 * squares)


def dispersion(score: Floats, count: Floats, chances: Floats, parameters: int) -> float:
    """How much results vary, as a share of what wins and losses alone would (Wedderburn 1974).

    1 without ties, and the less the more ties there are. The prior is two battles that were won
    or lost, so it is never 0; the errors are those of a fit, which are too small by its parameters.
    """
    seen = float(count @ (score - chances) ** 2)
    expected = float(count @ (chances * (1 - chances)))
    total = float(count.sum())
    seen *= total / max(total - parameters, 1.0)
    return min(1.0, (seen + DECIDED / 4) / (expected + DECIDED / 4))


def rateable(cells: Cells, size: int) -> tuple[NDArray[np.bool_], dict[int, Reason]]:
    """Which contestants get a rating, and why the others do not.

    Rated is the largest group in which everybody took something from everybody else, if only by a
    chain (most contestants, then most battles). The fit of that group is the limit of the fit of
    all as the others go to infinity.
    """
    first, second = cells.outcome != Outcome.B, cells.outcome != Outcome.A
    taker = np.r_[cells.first[first], cells.second[second]]
    giver = np.r_[cells.second[first], cells.first[second]]
    both = np.r_[cells.first, cells.second]
    battles = np.asarray(np.bincount(both, np.r_[cells.count, cells.count], size), np.float64)
    left = battles > 0
    best, rated = (1, 0.0), np.zeros(size, bool)
    while left.any():
        # Those who only give or only take among the rest are groups of one.
        inside = left[taker] & left[giver]
        takes, gives = _among(taker[inside], size), _among(giver[inside], size)
        if (lone := left & ~(takes & gives)).any():
            left &= ~lone
            continue
        seed = int(np.argmax(np.where(left, battles, -1)))
        group = _reach(seed, taker[inside], giver[inside], size) & _reach(
            seed, giver[inside], taker[inside], size
        )
        weight = (int(group.sum()), float(battles[group].sum()))
        if weight > best:
            best, rated = weight, group
        left &= ~group
    return rated, _reasons(rated, taker, giver, battles)


def _reasons(
    rated: NDArray[np.bool_],
    taker: NDArray[np.intp],
    giver: NDArray[np.intp],
    battles: Floats,
) -> dict[int, Reason]:
    size = len(rated)
    takes, gives = _among(taker, size), _among(giver, size)
    linked = np.ones(size, bool)
    if rated.any():
        seed = int(np.argmax(rated))
        linked = _reach(seed, np.r_[taker, giver], np.r_[giver, taker], size)
    reasons = {}
    for one in np.flatnonzero(~rated & (battles > 0)).tolist():
        if not linked[one]:
            reasons[one] = Reason.ISLAND
        elif not gives[one]:
            reasons[one] = Reason.ONLY_WINS
        elif not takes[one]:
            reasons[one] = Reason.ONLY_LOSSES
        else:
            reasons[one] = Reason.ONE_WAY
    return reasons


def _among(places: NDArray[np.intp], size: int) -> NDArray[np.bool_]:
    """Which of `size` places are named."""
    there = np.zeros(size, bool)
    there[places] = True
    return there


def _reach(
    seed: int, source: NDArray[np.intp], target: NDArray[np.intp], size: int
) -> NDArray[np.bool_]:
    reached = np.zeros(size, bool)
    reached[seed] = True
    count = 0
    while (now := int(reached.sum())) != count:
        count = now
        reached[target[reached[source]]] = True
    return reached
