"""How figures are written on the pages: money, durations, times, counts.

Each function gives text or ready markup, and is a template filter under its own name.
"""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup, escape

from noria.statistics import wilson
from noria.types import Money, from_nanoseconds, utc_now

__all__ = [
    "compact",
    "count",
    "duration",
    "exact_money",
    "instant",
    "interval",
    "money",
    "percent",
    "rate",
    "relative",
    "when",
]

NONE = "–"
_NOTHING = escape(NONE)
_STEPS = ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h"), (30 * 86_400, 86_400, "d"))


def exact_money(nano: int) -> str:
    """An amount of nano-dollars to its last digit: `0.00012345 USD`."""
    return f"{Money(nano).usd.normalize():f} USD"


def money(nano: int | None) -> Markup:
    """Three significant figures, with the exact amount on hover."""
    if nano is None:
        return _NOTHING
    return Markup('<span title="{}">{}</span>').format(exact_money(nano), str(Money(nano)))


def duration(ms: float | None) -> str:
    """Milliseconds as people read them: `0.42 ms`, `380 ms`, `1.24 s`, `2 min 5 s`."""
    if ms is None:
        return NONE
    if ms < 9.995:
        return f"{ms:.2g} ms" if ms < 0.995 else f"{ms:.1f} ms"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 59_995:
        return f"{ms / 1000:#.3g} s".replace(". ", " ")
    minutes, seconds = divmod(round(ms / 1000), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def instant(nanoseconds: int) -> str:
    """The exact second in UTC."""
    return from_nanoseconds(nanoseconds).strftime("%Y-%m-%d %H:%M:%S UTC")


def relative(nanoseconds: int, now: datetime | None = None) -> str:
    """How long ago (or ahead) an instant is; a date beyond thirty days."""
    at = from_nanoseconds(nanoseconds)
    seconds = ((now or utc_now()) - at).total_seconds()
    if abs(seconds) < 1.5:
        return "now"
    for below, unit, name in _STEPS:
        if abs(seconds) < below:
            size = f"{int(abs(seconds) // unit)} {name}"
            return f"{size} ago" if seconds > 0 else f"in {size}"
    return at.strftime("%Y-%m-%d")


def when(nanoseconds: int | None) -> Markup:
    """A time relative to now, with the exact one on hover."""
    if nanoseconds is None:
        return _NOTHING
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        from_nanoseconds(nanoseconds).astimezone(UTC).isoformat(timespec="seconds"),
        instant(nanoseconds),
        relative(nanoseconds),
    )


def count(number: int | None) -> str:
    """A whole number with its thousands set apart."""
    return NONE if number is None else f"{number:,}"


def compact(number: int | None) -> Markup:
    """A large number with three significant figures, the exact one on hover."""
    if number is None:
        return _NOTHING
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if number >= size:
            divisor = 1000 if letter == "k" else size
            return Markup('<span title="{}">{} {}</span>').format(
                f"{number:,}", f"{number / divisor:.3g}", letter
            )
    return escape(f"{number:,}")


def percent(part: int, whole: int) -> str:
    """A share in percent with two significant figures."""
    if not whole:
        return NONE
    share = 100 * part / whole
    return f"{share:.0f} %" if share in (0, 100) or share >= 9.95 else f"{share:.2g} %"


def interval(part: int, whole: int) -> str:
    """The 95 % interval of a share (Wilson's), in percent."""
    if not whole:
        return NONE
    share = wilson(part, whole)
    ends = [
        f"{100 * end:.0f}" if end >= 0.0995 else f"{100 * end:.2g}"
        for end in (share.lower, share.upper)
    ]
    return "–".join(ends) + " %"


def rate(tokens: int | None, duration_ms: float | None, ttft_ms: float | None) -> str:
    """Output tokens a second, after the first token where its time is known."""
    if not tokens or duration_ms is None:
        return NONE
    busy = duration_ms - (ttft_ms or 0)
    made = tokens - 1 if ttft_ms is not None else tokens
    return f"{1000 * made / busy:.3g} tokens/s" if busy > 0 and made > 0 else NONE
