"""Sums of what was called, by hour and by day, so that no report reads the spans.

A roll-up row belongs to the hour or day in which its spans began. Latencies are counted in buckets
whose bounds rise by a twelfth of an octave (6 %), which is as exact as the percentiles are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from noria.store.tables.core import rollups
from noria.types import Subject

__all__ = [
    "DAY",
    "DAY_NS",
    "HOUR",
    "HOUR_NS",
    "bucket_ms",
    "bucket_of",
    "grains",
    "percentile",
    "spent_since",
    "within",
]

HOUR, DAY = 0, 1
"""The grains of a row."""
HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
_STEPS = 12


def grains(at_ns: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The `(grain, start_ns)` of the hour and of the day that hold an instant."""
    return (HOUR, at_ns - at_ns % HOUR_NS), (DAY, at_ns - at_ns % DAY_NS)


def bucket_of(ms: float) -> int:
    """The latency bucket that a duration falls in."""
    return int(math.log2(ms) * _STEPS // 1) if ms > 0.001 else -120


def bucket_ms(bucket: float) -> float:
    """The duration at a place in a bucket (its start, for a whole number), in milliseconds."""
    return float(2 ** (bucket / _STEPS))


def percentile(buckets: Iterable[tuple[int, int]], share: float) -> float | None:
    """The duration below which `share` of the calls stayed; None if there were none.

    Args:
        buckets: `(bucket, calls)`, in any order.
        share: 0.5 for the median.
    """
    counts = sorted(buckets)
    rank = share * sum(calls for _, calls in counts)
    for bucket, calls in counts:
        if calls and rank <= calls:
            return bucket_ms(bucket + rank / calls)
        rank -= calls
    return None


def within(since_ns: int | None, until_ns: int | None) -> ColumnElement[bool]:
    """The rows that cover `[since, until)`: whole days by day, the rest by hour.

    Both ends are taken down and up to a whole hour.
    """
    since = None if since_ns is None else since_ns - since_ns % HOUR_NS
    until = None if until_ns is None else -(-until_ns // HOUR_NS) * HOUR_NS
    first_day = None if since is None else -(-since // DAY_NS) * DAY_NS
    last_day = None if until is None else until - until % DAY_NS
    if first_day is not None and last_day is not None and first_day > last_day:
        return _grain(HOUR, since, until)
    parts = [_grain(DAY, first_day, last_day)]
    if since is not None and since != first_day:
        parts.append(_grain(HOUR, since, first_day))
    if until is not None and until != last_day:
        parts.append(_grain(HOUR, last_day, until))
    return or_(*parts)


def spent_since(connection: Connection, subject: Subject, name: str, since_ns: int) -> int:
    """What the subject of a budget has cost since an hour that began then, in nano-dollars."""
    query = select(func.coalesce(func.sum(rollups.c.cost_nano), 0)).where(within(since_ns, None))
    match subject:
        case Subject.INSTALLATION:
            pass
        case Subject.TEAM:
            query = query.where(rollups.c.team == name)
        case Subject.USER:
            query = query.where(rollups.c.user == name)
        case Subject.KEY:
            query = query.where(rollups.c.key_id == name)
        case Subject.MODEL:  # what was asked for may be an alias of it
            query = query.where(or_(rollups.c.model == name, rollups.c.target == name))
        case Subject.APP:
            query = query.where(rollups.c.app == name)
    return int(connection.execute(query).scalar_one())


def _grain(grain: int, since: int | None, until: int | None) -> ColumnElement[bool]:
    parts: list[ColumnElement[bool]] = [rollups.c.grain == grain]
    if since is not None:
        parts.append(rollups.c.start_ns >= since)
    if until is not None:
        parts.append(rollups.c.start_ns < until)
    return and_(*parts)
