"""What people say of an answer, joined to the run that it came from."""

from __future__ import annotations

import time

from sqlalchemy import insert

from noria.ids import new_span_id
from noria.store.database import Database
from noria.store.keys.key import Key
from noria.store.tables.governance import feedback

__all__ = ["add_feedback"]


def add_feedback(
    db: Database, key: Key, trace_id: str, score: float | None, comment: str | None
) -> str:
    """Keep what somebody says of a run; who may say it is the door's to decide.

    Args:
        db: the store.
        key: who says it.
        trace_id: the run.
        score: from -1 (useless) to 1 (just right); None for words alone.
        comment: in words.

    Returns: its id.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    feedback_id = f"fb_{new_span_id()}"
    with db.write() as connection:
        connection.execute(
            insert(feedback).values(
                id=feedback_id,
                trace_id=trace_id,
                at=time.time_ns(),
                key_id=key.id,
                user=key.user,
                score=score,
                comment=comment,
            )
        )
    return feedback_id
