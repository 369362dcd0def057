"""Conversations that the server keeps for its callers: what was asked and answered, turn by turn.

The names are the callers' own: two keys that use one name have two conversations. A conversation's
label is the highest of what was read in any of its turns, and only rises.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import func, insert, select

from noria.store.database import Database, insert_into
from noria.store.tables.governance import conversations, turns
from noria.types import Label

__all__ = ["Conversation", "Turn", "add_turn", "find_conversation", "label_of_conversation"]

_MOST_TURNS = 200


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer."""

    question: str
    answer: str
    trace_id: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said so far."""

    id: str
    app: str
    """The application that it began with."""
    label: Label
    turns: tuple[Turn, ...]
    """The latest turns, the oldest of them first."""


def label_of_conversation(db: Database, key_id: str, name: str) -> Label:
    """The mark of a key's conversation; public where it has not begun.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.read() as connection:
        label = connection.execute(
            select(conversations.c.label).where(
                conversations.c.key_id == key_id, conversations.c.id == name
            )
        ).scalar()
    return Label(label or 0)


def find_conversation(db: Database, key_id: str, name: str) -> Conversation | None:
    """A key's conversation, with its latest 200 turns; None where it has not begun.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.read() as connection:
        found = connection.execute(
            select(conversations.c.app, conversations.c.label).where(
                conversations.c.key_id == key_id, conversations.c.id == name
            )
        ).one_or_none()
        if found is None:
            return None
        latest = connection.execute(
            select(turns.c.question, turns.c.answer, turns.c.trace_id, turns.c.at)
            .where(turns.c.key_id == key_id, turns.c.conversation_id == name)
            .order_by(turns.c.number.desc())
            .limit(_MOST_TURNS)
        ).all()
    said = tuple(Turn(*row) for row in reversed(latest))
    return Conversation(name, found.app, Label(found.label), said)


def add_turn(
    db: Database,
    key_id: str,
    name: str,
    *,
    app: str,
    label: Label,
    trace_id: str,
    question: str,
    answer: str,
) -> int:
    """Add a turn to a key's conversation, which begins with its first one.

    Args:
        db: the store.
        key_id: whose conversation it is.
        name: the caller's name for it.
        app: which application answered.
        label: the mark of the answer's trace: the conversation is raised to it.
        trace_id: where the answer came from.
        question: what was asked.
        answer: what was answered.

    Returns: the turn's number, from 1.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    now = time.time_ns()
    with db.write() as connection:
        begun = insert_into(connection, conversations).values(
            key_id=key_id, id=name, app=app, label=int(label), created_ns=now, updated_ns=now
        )
        higher = func.max if db.dialect == "sqlite" else func.greatest
        # The row that is written here is locked until the end, so numbers are given one by one.
        connection.execute(
            begun.on_conflict_do_update(
                index_elements=["key_id", "id"],
                set_={
                    "label": higher(conversations.c.label, begun.excluded.label),
                    "updated_ns": now,
                },
            )
        )
        mine = (turns.c.key_id == key_id) & (turns.c.conversation_id == name)
        last = connection.execute(select(func.max(turns.c.number)).where(mine)).scalar()
        number = int(last or 0) + 1
        connection.execute(
            insert(turns).values(
                key_id=key_id,
                conversation_id=name,
                number=number,
                trace_id=trace_id,
                at=now,
                question=question,
                answer=answer,
            )
        )
    return number
