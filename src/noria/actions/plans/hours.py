"""Hours of a week, such as `mon-fri 08:00-18:00`, in UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["Hours"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FORM = re.compile(r"(?:([a-z]{3})(?:-([a-z]{3}))? )?(\d\d):(\d\d)-(\d\d):(\d\d)")


@dataclass(frozen=True, slots=True)
class Hours:
    """Some hours of some days. Those that go past midnight belong to the day they begin on."""

    days: frozenset[int]
    begin: int
    """Minutes since midnight."""
    end: int

    @classmethod
    def parse(cls, text: str) -> Hours:
        """Read them.

        Raises:
            ValueError: the text has another form.
        """
        match = _FORM.fullmatch(text)
        if match is None or (match[1] and match[1] not in _DAYS):
            raise ValueError(f'{text!r} are not hours such as "mon-fri 08:00-18:00"')
        first = _DAYS.index(match[1]) if match[1] else 0
        last = _DAYS.index(match[2] or match[1]) if match[1] else 6
        days = {day % 7 for day in range(first, last + (1 if last >= first else 8))}
        begin, end = (int(match[i]) * 60 + int(match[i + 1]) for i in (3, 5))
        return cls(frozenset(days), begin, end)

    def hold(self, at: datetime) -> bool:
        """Whether an instant is among them."""
        at = at.astimezone(UTC)
        minute, day = at.hour * 60 + at.minute, at.weekday()
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        return (day in self.days and minute >= self.begin) or (
            (day - 1) % 7 in self.days and minute < self.end
        )
