"""How often the contestants of an arena met, and how that ended: what a leaderboard reads."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import BigInteger, cast, func, select

from noria.store.database import Database
from noria.store.evals.battles import ANYBODY, WINNERS
from noria.store.tables.evals import battles, exclusions, pair_counts

__all__ = [
    "PairCount",
    "count_pairs",
    "count_pairs_since",
    "count_waiting",
    "excluded_by_reason",
    "languages_of",
    "votes_by_day",
]

_ENDS = ("wins_a", "wins_b", "ties", "both_bad")


class PairCount(NamedTuple):
    """How the battles between two contestants ended that count."""

    model_a: str
    model_b: str
    wins_a: int
    wins_b: int
    ties: int
    both_bad: int


def count_waiting(db: Database, arena: str) -> int:
    """How many battles of an arena wait for anybody's vote."""
    query = select(func.count()).where(
        battles.c.voter == ANYBODY, battles.c.winner.is_(None), battles.c.arena == arena
    )
    with db.read() as connection:
        return int(connection.execute(query).scalar() or 0)


def count_pairs(
    db: Database,
    *,
    sources: Collection[str] = ("human",),
    arena: str = "",
    category: str | None = None,
    language: str | None = None,
) -> list[PairCount]:
    """How often each pair met and how it ended, for one arena."""
    table = pair_counts.c
    sums = [cast(func.sum(table[name]), BigInteger).label(name) for name in _ENDS]
    query = (
        select(table.model_a, table.model_b, *sums)
        .where(table.source.in_(list(sources)), table.arena == arena)
        .group_by(table.model_a, table.model_b)
        .order_by(table.model_a, table.model_b)
    )
    if category is not None:
        query = query.where(table.category == category)
    if language is not None:
        query = query.where(table.language == language)
    with db.read() as connection:
        return [PairCount._make(row) for row in connection.execute(query).all()]


def count_pairs_since(
    db: Database,
    since_ns: int,
    *,
    sources: Collection[str] = ("human",),
    arena: str = "",
    category: str | None = None,
    language: str | None = None,
) -> list[PairCount]:
    """The same of the battles since an instant; reads every one of them."""
    query = select(battles.c.model_a, battles.c.model_b, battles.c.winner, func.count()).where(
        battles.c.at >= since_ns,
        battles.c.source.in_(list(sources)),
        battles.c.arena == arena,
        battles.c.winner.is_not(None),
        battles.c.excluded.is_(None),
    )
    for name, value in (("category", category), ("language", language)):
        if value is not None:
            query = query.where(battles.c[name] == value)
    query = query.group_by(battles.c.model_a, battles.c.model_b, battles.c.winner)
    found: dict[tuple[str, str], list[int]] = {}
    with db.read() as connection:
        for left, right, winner, number in connection.execute(query):
            first, second = sorted((left, right))
            place = WINNERS.index(winner)
            if place < 2 and first != left:
                place = 1 - place
            found.setdefault((first, second), [0, 0, 0, 0])[place] += int(number)
    return [PairCount(*pair, *ends) for pair, ends in sorted(found.items())]


def votes_by_day(
    db: Database, days: int, *, sources: Collection[str] = ("human",), arena: str = ""
) -> list[tuple[int, int]]:
    """How many battles ended on each of the last days that count, the oldest first.

    Returns: the day's first instant in UTC nanoseconds, and the number.
    """
    day = 86_400 * 1_000_000_000
    today = time.time_ns() // day
    number = (battles.c.at // day).label("day")
    query = (
        select(number, func.count())
        .where(
            battles.c.at >= (today - days + 1) * day,
            battles.c.source.in_(list(sources)),
            battles.c.arena == arena,
            battles.c.winner.is_not(None),
            battles.c.excluded.is_(None),
        )
        .group_by("day")
    )
    with db.read() as connection:
        found = {int(which): int(count) for which, count in connection.execute(query)}
    return [(which * day, found.get(which, 0)) for which in range(today - days + 1, today + 1)]


def languages_of(db: Database, arena: str = "") -> list[str]:
    """The languages of the battles of an arena that count."""
    query = (
        select(pair_counts.c.language)
        .where(pair_counts.c.arena == arena, pair_counts.c.language != "")
        .distinct()
        .order_by(pair_counts.c.language)
    )
    with db.read() as connection:
        return list(connection.execute(query).scalars())


def excluded_by_reason(
    db: Database, *, sources: Collection[str] = ("human",), arena: str = ""
) -> dict[str, int]:
    """How many battles do not count, by reason."""
    table = exclusions.c
    query = (
        select(table.reason, func.sum(table.battles))
        .where(table.source.in_(list(sources)), table.arena == arena)
        .group_by(table.reason)
        .order_by(table.reason)
    )
    with db.read() as connection:
        return {reason: int(total) for reason, total in connection.execute(query)}
