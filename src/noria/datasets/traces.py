"""Rows out of recorded runs, chosen by what checks, votes and people said of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import and_, or_, select

from noria.datasets.row import Message, Row
from noria.errors import NoriaError
from noria.store.learning import corrections
from noria.store.tables.evals import battle_turns, battles
from noria.store.tables.governance import feedback, turns, verdicts
from noria.store.traces.marks import mark_of
from noria.store.traces.spans import find_spans
from noria.store.traces.trace import content_of
from noria.types import Span, SpanKind, Status

if TYPE_CHECKING:
    from noria.store import Database

__all__ = ["Where", "parse_where", "rows_where"]

_PAGE = 200
_TERM = re.compile(r'(not\s+)?([a-z]+)(?::("[^"]*"|[^\s"]+))?', re.IGNORECASE)
_KNOWN = {
    "app": "app:support", "model": "model:local:smollm2", "user": "user:ada", "team": "team:search",
    "check": "check:grounded or check:grounded=fail", "vote": "vote:win",
    "feedback": "feedback:up", "corrected": "corrected", "text": 'text:"opening hours"',
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Where:
    """One condition on a run."""

    field: str
    value: str
    negated: bool = False


def parse_where(text: str) -> list[Where]:
    """Read conditions that must all hold: `check:grounded and vote:win and not user:ada`.

    Raises:
        NoriaError: there is no such condition; the message lists them.
    """
    conditions = []
    for part in re.split(r'\s+and\s+(?=(?:[^"]*"[^"]*")*[^"]*$)', text.strip()):
        found = _TERM.fullmatch(part.strip())
        field = found[2].lower() if found else ""
        value = (found[3] or "").strip('"') if found else ""
        if found is None or field not in _KNOWN or (not value and field != "corrected"):
            raise NoriaError(
                f"{part!r} is not a condition on runs.",
                "Join conditions with `and`, `not` before one: " + ", ".join(_KNOWN.values()),
            )
        wanted = {"vote": ("win", "loss", "tie"), "feedback": ("up", "down")}.get(field)
        if wanted and value not in wanted:
            raise NoriaError(f"{part!r}: after {field}: stands one of {', '.join(wanted)}.")
        conditions.append(Where(field, value, bool(found[1])))
    return conditions


def rows_where(
    db: Database,
    where: list[Where],
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    limit: int | None = None,
    preferences: bool = False,
) -> Iterator[Row]:
    """Recorded runs as rows, the newest first. What was said twice is given once; runs without
    recorded content, or that failed, are left out.

    A row's label is the run's mark and its owner the user who asked. Where a person corrected the
    answer, the correction stands in its place.

    Args:
        db: the store; what is pending must have been taken in.
        where: conditions that must all hold.
        since_ns: only runs that began at this instant or later.
        until_ns: only runs that began before this instant.
        limit: at most so many rows.
        preferences: only corrected runs, as preferences of the correction over the answer.
    """
    plain: dict[str, Any] = {
        one.field: one.value
        for one in where
        if one.field in ("app", "model", "team", "text") and not one.negated
    }
    others = [one for one in where if one.negated or one.field not in plain]
    seen: set[bytes] = set()
    given = 0
    cursor = None
    while True:
        page = find_spans(
            db, limit=_PAGE, cursor=cursor, status=Status.OK, roots_only=True,
            since_ns=since_ns, until_ns=until_ns, **plain,
        )  # fmt: skip
        for span in page.rows:
            if span.kind not in (SpanKind.APP, SpanKind.CHAT):
                continue
            if not all(_holds(db, span, one) for one in others):
                continue
            row = _row(db, span, preferences)
            if row is None:
                continue
            key = orjson.dumps([row.messages, row.chosen])
            if key in seen:
                continue
            seen.add(key)
            yield row
            given += 1
            if given == limit:
                return
        cursor = page.next
        if cursor is None:
            return


def _holds(db: Database, span: Span, where: Where) -> bool:
    return _CONDITIONS[where.field](db, span, where.value) is not where.negated


def _checked(db: Database, span: Span, value: str) -> bool:
    name, _, outcome = value.partition("=")
    with db.read() as connection:
        found = connection.execute(
            select(verdicts.c.outcome).where(
                verdicts.c.trace_id == span.trace_id, verdicts.c.check == name
            )
        ).scalars()
        return (outcome or "pass") in set(found)


def _voted(db: Database, span: Span, value: str) -> bool:
    side_a = battle_turns.c.trace_a == span.trace_id
    with db.read() as connection:
        found = connection.execute(
            select(battles.c.winner, side_a.label("is_a"))
            .join(battle_turns, battle_turns.c.battle_id == battles.c.id)
            .where(
                or_(side_a, battle_turns.c.trace_b == span.trace_id),
                battles.c.excluded.is_(None),
                battles.c.winner.is_not(None),
            )
        ).all()
    outcomes = set()
    for winner, is_a in found:
        if winner in ("a", "b", "model_a", "model_b"):
            outcomes.add("win" if (winner[-1] == "a") is bool(is_a) else "loss")
        else:
            outcomes.add("tie")
    return value in outcomes


def _liked(db: Database, span: Span, value: str) -> bool:
    with db.read() as connection:
        scores = connection.execute(
            select(feedback.c.score).where(
                feedback.c.trace_id == span.trace_id, feedback.c.score.is_not(None)
            )
        ).scalars()
        return any(score > 0 if value == "up" else score < 0 for score in scores)


def _correction(db: Database, trace_id: str) -> Any:
    with db.read() as connection:
        return connection.execute(
            select(corrections.c.answer, corrections.c.person)
            .where(corrections.c.trace_id == trace_id)
            .order_by(corrections.c.at.desc())
        ).first()


def _says(db: Database, span: Span, value: str) -> bool:
    recorded = content_of(db, span)
    told = (recorded.request or b"") + (recorded.response or b"")
    return value.lower() in told.decode("utf-8", "replace").lower()


_CONDITIONS: dict[str, Callable[[Database, Span, str], bool]] = {
    "app": lambda db, span, value: span.app == value,
    "model": lambda db, span, value: value in (span.model, span.target),
    "user": lambda db, span, value: span.user == value,
    "team": lambda db, span, value: span.team == value,
    "check": _checked,
    "vote": _voted,
    "feedback": _liked,
    "corrected": lambda db, span, value: _correction(db, span.trace_id) is not None,
    "text": _says,
}


def _row(db: Database, span: Span, preferences: bool) -> Row | None:
    messages, answer = conversation_of(db, span)
    if not messages or not answer:
        return None
    extra: dict[str, Any] = {"app": span.app} if span.app else {}
    chosen = rejected = None
    corrected = _correction(db, span.trace_id)
    if preferences and corrected is None:
        return None
    if preferences:
        chosen = [{"role": "assistant", "content": corrected.answer}]
        rejected = [{"role": "assistant", "content": answer}]
    else:
        said = answer if corrected is None else corrected.answer
        messages = [*messages, {"role": "assistant", "content": said}]
    if corrected is not None:
        extra["corrected_by"] = corrected.person
    return Row(
        id=span.trace_id, messages=messages, source=f"trace:{span.trace_id}",
        label=mark_of(db, span.trace_id), owner=span.user, chosen=chosen, rejected=rejected,
        extra=extra,
    )  # fmt: skip


def conversation_of(db: Database, span: Span) -> tuple[list[Message], str]:
    """What was said up to a run's answer, and the answer; "" where it was not recorded."""
    recorded = content_of(db, span)
    if not recorded.request or not recorded.response:
        return [], ""
    try:
        asked, answered = orjson.loads(recorded.request), orjson.loads(recorded.response)
    except orjson.JSONDecodeError:
        return [], ""
    if span.kind is SpanKind.CHAT:
        return _of_call(asked, answered)
    answer = answered if isinstance(answered, str) else orjson.dumps(answered).decode()
    question = asked.get("question") if isinstance(asked, dict) else None
    if not isinstance(question, str):
        values = [one for one in asked.values() if isinstance(one, str)] if asked else []
        question = values[0] if len(values) == 1 else orjson.dumps(asked).decode()
    return [*_said_before(db, span), {"role": "user", "content": question}], answer


def _of_call(asked: Any, answered: Any) -> tuple[list[Message], str]:
    messages = asked.get("messages") if isinstance(asked, dict) else None
    try:
        answer = answered["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return [], ""
    if not isinstance(messages, list) or not isinstance(answer, str):
        return [], ""
    plain = [
        one
        for one in messages
        if isinstance(one, dict)
        and one.get("role") in ("system", "user", "assistant", "tool")
        and (isinstance(one.get("content"), str) or one.get("tool_calls"))
    ]
    return (plain, answer) if len(plain) == len(messages) else ([], "")


def _said_before(db: Database, span: Span) -> list[Message]:
    this, earlier = turns.alias(), turns.alias()
    with db.read() as connection:
        found = connection.execute(
            select(earlier.c.question, earlier.c.answer)
            .join(
                this,
                and_(
                    this.c.key_id == earlier.c.key_id,
                    this.c.conversation_id == earlier.c.conversation_id,
                    this.c.number > earlier.c.number,
                ),
            )
            .where(this.c.trace_id == span.trace_id)
            .order_by(earlier.c.number)
        ).all()
    return [
        message
        for question, answer in found
        for message in (
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        )
    ]
