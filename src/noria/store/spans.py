"""Looking at what was recorded: the newest spans that meet a filter, and one trace with its
messages."""

from __future__ import annotations

from dataclasses import dataclass

from noria.store.database import Database
from noria.types import Span, SpanKind, Status

__all__ = ["Page", "Recorded", "find_spans", "find_trace"]


@dataclass(frozen=True, slots=True)
class Page:
    """Some spans, the newest first."""

    rows: list[Span]
    next: str | None
    """The cursor for the spans after these; None at the end."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A span with what went in and out; None where content was not recorded."""

    span: Span
    request: bytes | None
    response: bytes | None
    response_media: str | None


def find_spans(
    db: Database,
    *,
    limit: int = 50,
    cursor: str | None = None,
    status: Status | str | None = None,
    model: str | None = None,
    key_id: str | None = None,
    team: str | None = None,
    user: str | None = None,
    kind: SpanKind | str | None = None,
    app: str | None = None,
    min_ms: float | None = None,
    max_ms: float | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
    text: str | None = None,
    roots_only: bool = False,
) -> Page:
    """The newest spans that meet every filter."""
    raise NotImplementedError


def find_trace(db: Database, identity: str) -> list[Recorded]:
    """All spans of a trace in the order in which they began."""
    raise NotImplementedError
