"""Drawings of the leaderboard: a dot with its interval on an axis that all rows share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from noria.evals import Rating

__all__ = ["Axis", "axis_of", "dot"]

_WIDTH = 400
_STEPS = (10, 20, 25, 50, 100, 200, 250, 500, 1000)


class Axis:
    """The axis of all rows, in rating points."""

    def __init__(self, low: float, high: float, ticks: Sequence[float]) -> None:
        self.low, self.high, self.ticks = low, high, ticks

    def place(self, value: float) -> float:
        """Where a value stands, in the units of the drawing, kept inside it."""
        share = (value - self.low) / (self.high - self.low)
        return round(_WIDTH * min(1.0, max(0.0, share)), 1)

    @property
    def marks(self) -> Markup:
        """The numbers under the column."""
        texts = Markup().join(
            Markup('<text x="{}" y="15" text-anchor="middle">{:.0f}</text>').format(
                min(_WIDTH - 14, max(14, self.place(tick))), tick
            )
            for tick in self.ticks
        )
        return Markup('<svg class="axis" viewBox="0 0 {} 20" role="presentation">{}</svg>').format(
            _WIDTH, texts
        )


def axis_of(ratings: Sequence[Rating]) -> Axis:
    """An axis that holds every interval, with round marks."""
    lows = [one.rating if one.lower is None else one.lower for one in ratings] or [900.0]
    highs = [one.rating if one.upper is None else one.upper for one in ratings] or [1100.0]
    low, high = min(lows), max(highs)
    pad = max(10.0, 0.06 * (high - low))
    low, high = low - pad, high + pad
    step = next((step for step in _STEPS if (high - low) / step <= 6), _STEPS[-1])
    first = int(low // step + 1) * step
    count = int((high - first) // step) + 1
    return Axis(low, high, [first + number * step for number in range(count)])


def dot(axis: Axis, rating: Rating, shade: str) -> Markup:
    """One row's dot and interval."""
    grid = Markup().join(
        Markup('<path class="grid" d="M{} 0V20"/>').format(axis.place(tick)) for tick in axis.ticks
    )
    x = axis.place(rating.rating)
    whisker = Markup()
    told = f"{rating.rating:.0f}"
    if rating.lower is not None and rating.upper is not None:
        whisker = Markup('<path class="whisker" d="M{} 10H{}"/>').format(
            axis.place(rating.lower), axis.place(rating.upper)
        )
        told += f", between {rating.lower:.0f} and {rating.upper:.0f}"
    return Markup(
        '<svg class="dot" viewBox="0 0 {} 20" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}{}<path class="point {}" d="M{} 10h0.01"/></svg>'
    ).format(_WIDTH, told, grid, whisker, shade, x)
