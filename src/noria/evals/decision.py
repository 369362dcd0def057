"""Is one better than the other, looked at after every answer: an always-valid decision.

The interval is an empirical-Bernstein confidence sequence: it holds the true difference at all
times together with the stated confidence, so looking after each observation, stopping early or
going on for longer changes nothing (Howard, Ramdas, McAuliffe and Sekhon 2021, "Time-uniform,
nonparametric, nonasymptotic confidence sequences", theorem 4, with a discrete mixture over the
betting fractions instead of one). It needs bounded observations and no model of them: ties only
make the variance smaller, and where traffic drifts it covers the running mean of the differences.

Two variants that are drawn at random are compared by the doubly robust score of each observation
(Waudby-Smith et al. 2022, "Anytime-valid off-policy inference for contextual bandits").
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from math import exp, inf, isfinite, log, log1p, log10
from typing import Any

from noria.statistics import Interval

__all__ = ["Decision", "Measure", "State"]

_FRACTIONS = tuple(0.9 * exp(k * log(0.62)) for k in range(18))
"""Betting fractions, from a handful of observations (0.9) to some hundred thousand (0.0003)."""
_COSTS = tuple(-log1p(-fraction) - fraction for fraction in _FRACTIONS)
_LOG_FRACTIONS = log(len(_FRACTIONS))
_FORMAT = 1
_MOST = 1 << 40
"""Beyond so many observations nothing is foretold."""
_ELO = 400.0


class Measure(enum.StrEnum):
    """What the observations are, and so what the interval is of."""

    DIFFERENCE = "difference"
    """The challenger's value less the champion's on the same question."""
    WIN_RATE = "win_rate"
    """1, 0.5 or 0 for a battle that the challenger won, tied or lost; the effect is less 0.5."""
    RATING = "rating"
    """As `win_rate`, with the effect and the margin in rating points (400 for odds of 10)."""
    MEANS = "means"
    """A value of one of two variants that are drawn at random: proportions, costs, checks."""


class State(enum.StrEnum):
    """What can be said by now."""

    BETTER = "better"
    WORSE = "worse"
    AT_LEAST_AS_GOOD = "at_least_as_good"
    """Not worse by the margin or more."""
    UNDECIDED = "undecided"


class Decision:
    """An always-valid comparison of a challenger with a champion.

    Args:
        measure: what the observations are.
        bounds: the least and the largest observation (of one variant for `means`; of one side for
            `difference`, so that a difference is within plus or minus their distance). Win rates
            and ratings are within 0 and 1.
        confidence: one less how often the interval ever misses the true effect, over all looks.
        margin: how much worse still counts as good, in the unit of the effect.
        measures: how many measures are decided on together (Bonferroni: each has its part).
        share: for `means`, the chance with which the challenger is drawn.
        per_cluster: how many observations of a cluster (a voter, a question) make one: the mean of
            its first ones enters, and later ones are counted as left out. What a cluster says
            first is a fresh draw of clusters, what it says later is not; so a user who votes ten
            thousand times weighs as much as any other.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        measure: Measure | str,
        *,
        bounds: tuple[float, float] = (0.0, 1.0),
        confidence: float = 0.95,
        margin: float = 0.0,
        measures: int = 1,
        share: float = 0.5,
        per_cluster: int = 1,
    ) -> None:
        self.measure = Measure(measure)
        low, high = float(bounds[0]), float(bounds[1])
        if not (isfinite(low) and isfinite(high) and low < high):
            raise ValueError(f"bounds are {bounds}, which are not a smaller and a larger number")
        if self.measure in (Measure.WIN_RATE, Measure.RATING) and (low, high) != (0.0, 1.0):
            raise ValueError(f"bounds are {bounds}, and those of {self.measure} are (0, 1)")
        if not 0 < confidence < 1:
            raise ValueError(f"confidence is {confidence}, which is not between 0 and 1")
        if not 0 <= margin < inf:
            raise ValueError(f"margin is {margin}, which is not 0 or more")
        if measures < 1 or per_cluster < 1:
            raise ValueError("measures and per_cluster are at least 1")
        if not 0 < share < 1:
            raise ValueError(f"share is {share}, which is not between 0 and 1")
        self.bounds = (low, high)
        self.confidence = confidence
        self.margin = margin
        self.measures = measures
        self.share = share
        self.per_cluster = per_cluster
        self.count = 0
        """Observations that entered; a cluster's mean is one."""
        self.left_out = 0
        """Observations of clusters that had entered before."""
        self._sum = 0.0
        self._variation = 0.0
        self._arms = {False: (0, 0.0), True: (0, 0.0)}
        self._clusters: dict[str, tuple[int, float]] = {}
        # The largest distance of an observation from its forecast: the unit of the sums.
        reach = 1.0 if self.measure in (Measure.WIN_RATE, Measure.RATING) else high - low
        if self.measure is Measure.DIFFERENCE:
            reach *= 2
        elif self.measure is Measure.MEANS:
            reach /= min(share, 1 - share)
        self._unit = reach
        # Two sides, each of so many measures.
        self._needed = log(2 * measures / (1 - confidence)) + _LOG_FRACTIONS

    def add(
        self, value: float, *, challenger: bool | None = None, cluster: str | None = None
    ) -> None:
        """Take in one observation.

        Args:
            value: within the bounds.
            challenger: for `means`, whether the challenger gave it; else None.
            cluster: what it depends on (the voter, the question); None where it stands alone. For
                `means` a cluster keeps to one variant.

        Raises:
            ValueError: the value is no number or beyond the bounds, or the side is missing.
        """
        low, high = self.bounds
        if self.measure is Measure.DIFFERENCE:
            low, high = low - high, high - low
        if not low <= value <= high:
            raise ValueError(f"value is {value}, which is not within {low:g} and {high:g}")
        if (challenger is None) == (self.measure is Measure.MEANS):
            raise ValueError(
                "challenger says which variant gave the value: True or False for means, and"
                " nothing for the other measures"
            )
        if cluster is not None:
            name = cluster if challenger is None else f"{int(challenger)}:{cluster}"
            seen, total = self._clusters.get(name, (0, 0.0))
            if seen >= self.per_cluster:
                self.left_out += 1
                return
            seen, total = seen + 1, total + value
            self._clusters[name] = (seen, total)
            if seen < self.per_cluster:
                return
            value = total / seen
        self._enter(value, challenger)

    def _enter(self, value: float, challenger: bool | None) -> None:
        if challenger is not None:
            forecast = {side: self._forecast(side) for side in (False, True)}
            gap = (value - forecast[challenger]) / (self.share if challenger else 1 - self.share)
            self._sum += forecast[True] - forecast[False] + (gap if challenger else -gap)
            count, total = self._arms[challenger]
            self._arms[challenger] = (count + 1, total + value)
        else:
            if self.measure is not Measure.DIFFERENCE:
                value -= 0.5
            gap = value - self._sum / (self.count + 1)
            self._sum += value
        self._variation += (gap / self._unit) ** 2
        self.count += 1

    def _forecast(self, challenger: bool) -> float:
        """What is expected of a variant before it answers: its mean, drawn to the middle."""
        count, total = self._arms[challenger]
        return (total + sum(self.bounds) / 2) / (count + 1)

    @property
    def verdict(self) -> State:
        """What can be said by now. Over all looks the chance of any wrong word is at most one less
        the confidence."""
        if not self.count:
            return State.UNDECIDED
        if self._beyond(0.0, 1):
            return State.BETTER
        if self._beyond(0.0, -1):
            return State.WORSE
        if self.margin and self._beyond(-self._raw(self.margin), 1):
            return State.AT_LEAST_AS_GOOD
        return State.UNDECIDED

    @property
    def interval(self) -> Interval:
        """The mean effect with its confidence sequence: of the challenger less the champion.

        Without an observation it spans all that is possible.
        """
        most = 0.5 if self.measure in (Measure.WIN_RATE, Measure.RATING) else (
            self.bounds[1] - self.bounds[0]
        )  # fmt: skip
        mean = self._sum / self.count if self.count else 0.0
        mean = min(most, max(-most, mean))
        lower = self._edge(mean, -most, 1) if self.count else -most
        upper = self._edge(mean, most, -1) if self.count else most
        return Interval(self._shown(mean), self._shown(lower), self._shown(upper))

    def more_needed(self, effect: float) -> int | None:
        """How many more observations would decide, were the effect `effect` from now on.

        It is an effect that is worth finding, named beforehand: what was observed may be nought.

        Returns:
            0 where it is decided; None where no number of observations decides: the effect is 0
            and there is no margin.
        """
        if self.verdict is not State.UNDECIDED:
            return 0
        raw = self._raw(effect)
        variance = self._variation / self.count if self.count else 0.25

        def decided(more: int) -> bool:
            count, total = self.count + more, self._sum + raw * more
            spread = self._variation + variance * more
            sides = [(0.0, 1), (0.0, -1)]
            if self.margin:
                sides.append((-self._raw(self.margin), 1))
            return any(
                _evidence(sign * (total - null * count) / self._unit, spread) >= self._needed
                for null, sign in sides
            )

        high = 1
        while not decided(high):
            high *= 2
            if high > _MOST:
                return None
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if decided(middle) else (middle, high)
        return high

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain JSON values; `from_json` goes on from there."""
        return {
            "format": _FORMAT,
            "measure": self.measure.value,
            "bounds": list(self.bounds),
            "confidence": self.confidence,
            "margin": self.margin,
            "measures": self.measures,
            "share": self.share,
            "per_cluster": self.per_cluster,
            "count": self.count,
            "left_out": self.left_out,
            "sum": self._sum,
            "variation": self._variation,
            "arms": [list(self._arms[False]), list(self._arms[True])],
            "clusters": {name: list(seen) for name, seen in self._clusters.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Decision:
        """Make a decision from what `to_json` returned.

        Raises:
            ValueError: it is of another format, or a field is missing.
        """
        if data.get("format") != _FORMAT:
            raise ValueError(f"format is {data.get('format')}, and this noria reads {_FORMAT}")
        try:
            made = cls(
                data["measure"],
                bounds=(data["bounds"][0], data["bounds"][1]),
                confidence=data["confidence"],
                margin=data["margin"],
                measures=data["measures"],
                share=data["share"],
                per_cluster=data["per_cluster"],
            )
            made.count, made.left_out = int(data["count"]), int(data["left_out"])
            made._sum, made._variation = float(data["sum"]), float(data["variation"])
            champion, challenger = data["arms"]
            made._arms = {
                False: (int(champion[0]), float(champion[1])),
                True: (int(challenger[0]), float(challenger[1])),
            }
            made._clusters = {
                str(name): (int(seen), float(total))
                for name, (seen, total) in data["clusters"].items()
            }
        except KeyError as missing:
            raise ValueError(f"{missing.args[0]} is missing from the decision") from None
        return made

    def _beyond(self, null: float, sign: int) -> bool:
        """Whether an effect of `null` or less (or more, for -1) is refuted."""
        total = sign * (self._sum - null * self.count) / self._unit
        if total <= 0:
            return False
        # No fraction gains more than this, as its cost is over half its square. Few looks get
        # past here, which is what keeps a look cheap.
        if total * total < 2 * self._variation * (self._needed - _LOG_FRACTIONS):
            return False
        return _evidence(total, self._variation) >= self._needed

    def _edge(self, inside: float, outside: float, sign: int) -> float:
        """Where `_beyond` changes between the mean, which is never refuted, and the limit."""
        if not self._beyond(outside, sign):
            return outside
        for _ in range(60):
            middle = (inside + outside) / 2
            if self._beyond(middle, sign):
                outside = middle
            else:
                inside = middle
        return outside

    def _raw(self, effect: float) -> float:
        """An effect in the unit of the sums: points become a win rate less 0.5."""
        if self.measure is not Measure.RATING:
            return effect
        return 1 / (1 + exp(-max(-1e5, min(1e5, effect)) * log(10) / _ELO)) - 0.5

    def _shown(self, raw: float) -> float:
        if self.measure is not Measure.RATING:
            return raw
        share = raw + 0.5
        if not 0 < share < 1:
            return inf if share >= 1 else -inf
        return _ELO * log10(share / (1 - share))


def _evidence(total: float, variation: float) -> float:
    """The log of the mixture's wealth, plus the log of the number of fractions."""
    if total <= 0:
        return -inf
    powers = [
        fraction * total - cost * variation
        for fraction, cost in zip(_FRACTIONS, _COSTS, strict=True)
    ]
    top = max(powers)
    return top + log(sum([exp(power - top) for power in powers]))
