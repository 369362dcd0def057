"""Charts drawn by the server as SVG.

A drawing has no text in it: it stretches to the room there is, and the marks of its axes stand
beside it as text of the page. What a column means is its `<title>`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from noria.types import Money, from_nanoseconds
from noria.web import format

__all__ = [
    "Chart", "Day", "Series", "bars", "lines", "meter", "money_mark", "share", "spark", "verdicts",
    "waterfall",
]  # fmt: skip

_STEP, _GAP, _HEIGHT = 10, 2, 100


@dataclass(frozen=True, slots=True)
class Series:
    """One name with its class of colour and a value for each bucket (None: there is none)."""

    name: str
    shade: str
    values: Sequence[float | None]


@dataclass(slots=True)
class Day:
    """What a check said in one day (UTC)."""

    start_ns: int
    passed: int = 0
    failed: int = 0
    other: int = 0
    """Skipped, or ended in an error."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with the marks of its axes."""

    svg: Markup
    scale: list[str]
    """The marks of the vertical axis, from the top."""
    times: list[str]
    """First, middle and last bucket."""
    series: Sequence[Series]
    summary: str
    empty: bool


def money_mark(nano: float) -> str:
    """An amount at an axis, as short as it goes."""
    return f"${Money(int(nano)).usd.normalize():,f}"


def count_mark(value: float) -> str:
    """A count at an axis."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def bars(
    title: str,
    series: Sequence[Series],
    starts_ns: Sequence[int],
    *,
    daily: bool,
    mark: str = "count",
) -> Chart:
    """Columns that stand on each other, one for each bucket."""
    write = {"money": money_mark, "count": count_mark}[mark]
    say: Callable[[float], str] = (
        (lambda value: str(Money(int(value)))) if mark == "money" else count_mark
    )
    totals = [sum(one.values[i] or 0 for one in series) for i in range(len(starts_ns))]
    top = _nice(max(totals, default=0))
    # One path for each name and not a rectangle for each column: it is a third of the bytes.
    floors = [float(_HEIGHT)] * len(starts_ns)
    drawn = []
    for one in series:
        path = []
        for i, value in enumerate(one.values):
            height = _HEIGHT * (value or 0) / top
            if height > 0:
                floors[i] -= height
                left = i * _STEP + _GAP // 2
                path.append(f"M{left} {floors[i]:.2f}h{_STEP - _GAP}v{height:.2f}h-{_STEP - _GAP}z")
        drawn.append(f'<path class="area {one.shade}" d="{"".join(path)}"/>')
    for i, start in enumerate(starts_ns):
        told = [f"{one.name or 'none'}: {say(value)}" for one in series if (value := one.values[i])]
        drawn.append(_column(i, _bucket(start, daily), told))
    return _chart(title, series, starts_ns, drawn, daily, top, write, not any(totals))


def lines(title: str, series: Sequence[Series], starts_ns: Sequence[int], *, daily: bool) -> Chart:
    """Durations over time; a bucket without calls is a gap."""
    top = _nice(max((v for one in series for v in one.values if v is not None), default=0))
    drawn = []
    for one in series:
        path, pen_down = [], False
        for i, value in enumerate(one.values):
            if value is None:
                pen_down = False
                continue
            x, y = (i + 0.5) * _STEP, _HEIGHT * (1 - value / top)
            path.append(f"L{x:g} {y:.2f}" if pen_down else f"M{x:g} {y:.2f}h.01")
            pen_down = True
        drawn.append(f'<path class="line {one.shade}" d="{"".join(path)}"/>')
    for i, start in enumerate(starts_ns):
        told = [
            f"{one.name}: {format.duration(value)}"
            for one in series
            if (value := one.values[i]) is not None
        ]
        drawn.append(_column(i, _bucket(start, daily), told))
    empty = all(value is None for one in series for value in one.values)
    return _chart(title, series, starts_ns, drawn, daily, top, format.duration, empty)


def meter(spent_nano: int, held_nano: int, limit_nano: int) -> Markup:
    """How much of a budget is spent, and how much more is held."""
    whole = max(limit_nano, 1)
    spent = min(100.0, 100 * spent_nano / whole)
    held = min(100.0 - spent, 100 * held_nano / whole)
    state = "bad" if spent >= 100 else "warn" if spent >= 80 else "fine"
    told = (
        f"{Money(spent_nano)} spent and {Money(held_nano)} held of {Money(limit_nano)} "
        f"({format.percent(spent_nano, whole)})"
    )
    return Markup(
        '<svg class="meter {}" role="img" aria-label="{}"><title>{}</title>'
        '<rect class="whole" width="100%" height="100%"/>'
        '<rect class="spent" width="{}%" height="100%"/>'
        '<rect class="held" x="{}%" width="{}%" height="100%"/></svg>'
    ).format(state, told, told, f"{spent:.2f}", f"{spent:.2f}", f"{held:.2f}")


def share(part: int, whole: int) -> Markup:
    """A bar for a row's part of the largest row."""
    width = 100 * part / whole if whole else 0
    return Markup(
        '<svg class="share" aria-hidden="true"><rect class="s0" width="{}%" height="100%" '
        'rx="3"/></svg>'
    ).format(f"{width:.1f}")


def spark(values: Sequence[float]) -> Markup:
    """A small line of the latest values, the oldest first; nothing for fewer than two."""
    if len(values) < 2:
        return Markup("")
    top = max(values) or 1
    points = " ".join(f"{i},{22 - 20 * value / top:.1f}" for i, value in enumerate(values))
    return Markup(
        '<svg class="spark" viewBox="0 0 {} 24" preserveAspectRatio="none" aria-hidden="true">'
        '<path d="M{}"/></svg>'
    ).format(len(values) - 1, points)


def curve(title: str, learned: Sequence[float], held_out: Sequence[float | None]) -> Markup:
    """The losses of a run, step by step: a line for what is learned, dots for what is held out."""
    known = [*learned, *(one for one in held_out if one is not None)]
    if len(learned) < 2:
        return Markup("")
    top = max(known) or 1
    across = 600 / (len(learned) - 1)
    points = " ".join(
        f"{i * across:.1f},{150 - 140 * one / top:.1f}" for i, one in enumerate(learned)
    )
    dots = Markup("").join(
        Markup('<circle class="dot s1" cx="{}" cy="{}" r="3"><title>held out: {}</title></circle>')
        .format(f"{i * across:.1f}", f"{150 - 140 * one / top:.1f}", f"{one:.3f}")
        for i, one in enumerate(held_out)
        if one is not None
    )  # fmt: skip
    return Markup(
        '<svg class="curve" viewBox="0 0 600 155" role="img" aria-label="{}"><title>{}</title>'
        '<path class="line s0" d="M{}"/>{}</svg>'
    ).format(title, title, points, dots)


def wealth(title: str, probabilities: Sequence[float], wanted: float) -> Markup:
    """How sure the battles made us, one after the other, and the line that must be passed."""
    if not probabilities:
        return Markup("")
    across = 600 / max(1, len(probabilities) - 1)
    points = " ".join(
        f"{i * across:.1f},{150 - 140 * one:.1f}" for i, one in enumerate(probabilities)
    )
    return Markup(
        '<svg class="curve" viewBox="0 0 600 155" role="img" aria-label="{}"><title>{}</title>'
        '<path class="line s1" d="M0 {} H600"/><path class="line s0" d="M{}"/></svg>'
    ).format(title, title, f"{150 - 140 * wanted:.1f}", points)


def verdicts(days: Sequence[Day]) -> Markup:
    """A check's verdicts day by day: the share of each day that passed and that failed."""
    drawn = []
    for i, day in enumerate(days):
        judged = day.passed + day.failed
        told = f"{day.passed} of {judged} passed" if judged else "no verdict"
        if day.other:
            told += f", {day.other} skipped or in error"
        if judged:
            failed = 24 * day.failed / judged
            left = i * _STEP + _GAP // 2
            drawn.append(
                f'<path class="pass" d="M{left} {failed:.2f}h{_STEP - _GAP}V24h-{_STEP - _GAP}z"/>'
                f'<path class="fail" d="M{left} 0h{_STEP - _GAP}v{failed:.2f}h-{_STEP - _GAP}z"/>'
            )
        title = f"{_bucket(day.start_ns, daily=True)}\n{told}"
        drawn.append(
            f'<g class="column"><title>{title}</title>'
            f'<rect class="hit" x="{i * _STEP}" width="{_STEP}" height="24"/></g>'
        )
    width = max(1, len(days)) * _STEP
    return Markup(  # noqa: S704 - only numbers and dates are in it
        f'<svg class="verdicts" viewBox="0 0 {width} 24" preserveAspectRatio="none" role="img" '
        f'aria-label="Verdicts by day"><path class="base" d="M0 24H{width}"/>{"".join(drawn)}</svg>'
    )


def waterfall(
    start_ms: float, length_ms: float, first_ms: float | None, whole_ms: float, calls: bool
) -> Markup:
    """A span's bar on the time axis of its run: accented for a call of a model, whose wait for
    the first token is paler."""
    whole = max(whole_ms, 0.001)
    left, width = 100 * start_ms / whole, max(0.8, 100 * length_ms / whole)
    left = min(left, 100 - width)
    wait = width * min(1.0, first_ms / length_ms) if calls and first_ms and length_ms else 0
    bar = '<rect{} x="{:.4g}%" width="{:.4g}%"/>'
    drawn = bar.format(' class="wait"', left, wait) if wait else ""
    drawn += bar.format("", left + wait, width - wait)
    # There may be hundreds on a page: what can be said in the style sheet is not said here.
    kind = "bar call" if calls else "bar"
    return Markup(f'<svg class="{kind}" aria-hidden="true">{drawn}</svg>')  # noqa: S704 - numbers


def _chart(
    title: str,
    series: Sequence[Series],
    starts_ns: Sequence[int],
    drawn: Sequence[str],
    daily: bool,
    top: float,
    write: Callable[[float], str],
    empty: bool,
) -> Chart:
    width = max(1, len(starts_ns)) * _STEP
    # What was not said of the columns is said once, for those who cannot see them.
    svg = (
        f'<svg viewBox="0 0 {width} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(title)}">'
        f'<path class="grid" d="M0 .5H{width}M0 50H{width}"/><path class="base" '
        f'd="M0 {_HEIGHT}H{width}"/>{"".join(drawn)}</svg>'
    )
    ends = [starts_ns[0], starts_ns[len(starts_ns) // 2], starts_ns[-1]] if starts_ns else []
    return Chart(
        Markup(svg),  # noqa: S704 - every text in it was escaped above
        [write(top), write(top / 2), write(0)] if not empty else ["", "", ""],
        [_mark(start, daily) for start in ends],
        series,
        title,
        empty,
    )


def _column(i: int, bucket: str, told: Sequence[str]) -> str:
    title = "\n".join([bucket, *(told or ["nothing"])])
    return (
        f'<g class="column"><title>{escape(title)}</title>'
        f'<rect class="hit" x="{i * _STEP}" y="0" width="{_STEP}" height="{_HEIGHT}"/></g>'
    )


def _bucket(start_ns: int, daily: bool) -> str:
    at = from_nanoseconds(start_ns)
    return at.strftime("%a %-d %B" if daily else "%a %-d %b, %H:00 UTC")


def _mark(start_ns: int, daily: bool) -> str:
    return from_nanoseconds(start_ns).strftime("%-d %b" if daily else "%H:00")


def _nice(largest: float) -> float:
    """The next number of few digits that is not below; 1 where there is nothing."""
    if largest <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(largest))
    for step in (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0):
        if step * size >= largest * (1 - 1e-12):
            return step * size
    return 10 * size
