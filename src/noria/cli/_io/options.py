"""Values on the command line that are read in a way of their own."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from noria.types import Budget, Label

__all__ = ["budget", "instant", "label", "names"]

_AGE = re.compile(r"(\d+)\s*(min|m|h|d|w)")
_UNITS = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def budget(text: str | None) -> Budget | None:
    """A budget such as `"5 USD/day"`."""
    from noria.types import Budget

    if text is None:
        return None
    try:
        return Budget.parse(text)
    except ValueError as unreadable:
        raise typer.BadParameter(str(unreadable), param_hint="--budget") from None


def label(text: str) -> Label:
    """A label's name."""
    from noria.types import Label

    try:
        return Label.parse(text)
    except ValueError as unreadable:
        raise typer.BadParameter(str(unreadable), param_hint="--clearance") from None


def names(text: str | None) -> list[str]:
    """Names with commas between them."""
    return [name for part in (text or "").split(",") if (name := part.strip())]


def instant(text: str | None, hint: str = "--since") -> int | None:
    """An instant in UTC nanoseconds since the epoch, from an age (`7d`, `24h`, `30m`) or a date
    (`2026-11-24`, `2026-11-24T09:30`), which is in UTC unless it names a zone."""
    if text is None:
        return None
    if age := _AGE.fullmatch(text.strip()):
        at = datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
    else:
        try:
            at = datetime.fromisoformat(text.strip())
        except ValueError:
            raise typer.BadParameter(
                f"{text!r} is not a time; write an age such as 7d, 24h or 30m, "
                "or a date such as 2026-11-24 or 2026-11-24T09:30",
                param_hint=hint,
            ) from None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(at.timestamp() * 1_000_000) * 1000
