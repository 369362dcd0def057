"""What was called and what it cost, from the roll-ups. Take in first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from noria.store.database import Database
from noria.types import Window

__all__ = [
    "Bucket",
    "Counter",
    "Group",
    "Overview",
    "SpendRow",
    "counters",
    "overview",
    "spend",
]


@dataclass(frozen=True, slots=True)
class SpendRow:
    """What one key, team, user or model has spent, or what one day has cost."""

    name: str
    """A key's id, a name, or a day as `2026-11-24` (UTC)."""
    calls: int
    input_tokens: int
    output_tokens: int
    spent_nano: int
    held_nano: int
    """Held for calls that are under way."""
    limit_nano: int | None
    """Of the budget that stands on it; None if there is none."""
    window: Window | None
    window_spent_nano: int | None
    """Spent in that budget's present window."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One hour or day."""

    start_ns: int
    calls: int
    errors: int
    cost_nano: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """One model or team."""

    name: str
    calls: int
    errors: int
    cost_nano: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What happened in a span of time. Errors are calls that failed or were lost."""

    calls: int
    errors: int
    p50_ms: float | None
    p99_ms: float | None
    cost_nano: int
    series: list[Bucket]
    """Every bucket of the time asked for, in order, empty ones too."""
    by_model: list[Group]
    by_team: list[Group]
    by_model_series: dict[str, list[int]]
    """For each model its cost in each bucket of `series`."""


@dataclass(frozen=True, slots=True)
class Counter:
    """Totals since the store began, for one model, target and kind."""

    model: str
    target: str
    kind: str
    calls: int
    errors: int
    refused: int
    input_tokens: int
    output_tokens: int
    cost_nano: int


def spend(
    db: Database,
    by: Literal["key", "team", "user", "model", "day"],
    since_ns: int | None = None,
    until_ns: int | None = None,
) -> list[SpendRow]:
    """What was spent, the most first (days: the newest first)."""
    raise NotImplementedError


def overview(
    db: Database, since_ns: int, until_ns: int, bucket: Literal["hour", "day"] = "hour"
) -> Overview:
    """Everything that the first page shows of `[since, until)`."""
    raise NotImplementedError


def counters(db: Database) -> list[Counter]:
    """Running totals for `/metrics`."""
    raise NotImplementedError
