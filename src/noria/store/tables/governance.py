"""The tables of who may see what, which documents fed which answers, and what was thought of them.

Labels are the numbers of `noria.types.Label`; instants are UTC nanoseconds since the epoch.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Integer, SmallInteger, Table, Text

from noria.store.tables.core import metadata

__all__ = [
    "alerts",
    "conversations",
    "document_uses",
    "feedback",
    "marks",
    "schedules",
    "turns",
    "verdicts",
]

# A trace's high-water mark; without a row it is public.
marks = Table(
    "marks",
    metadata,
    Column("trace_id", Text, primary_key=True),
    Column("label", SmallInteger, nullable=False),
)

# The names are the callers': each key has names of its own.
conversations = Table(
    "conversations",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("app", Text, nullable=False),
    Column("label", SmallInteger, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
)

turns = Table(
    "turns",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("conversation_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("trace_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", Text, primary_key=True),
    Column("trace_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("user", Text),
    Column("score", Double),
    Column("comment", Text),
)

document_uses = Table(
    "document_uses",
    metadata,
    Column("span_id", Text, primary_key=True),
    Column("index", Text, primary_key=True),
    Column("document", Text, primary_key=True),
    Column("trace_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("label", SmallInteger, nullable=False),
    Column("title", Text),
    Column("key_id", Text),
    Column("user", Text),
    # When the document was deleted, and when its text was taken out of the trace.
    Column("deleted_ns", BigInteger),
    Column("redacted_ns", BigInteger),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("span_id", Text, primary_key=True),
    Column("trace_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("app", Text, nullable=False),
    Column("check", Text, nullable=False),
    # pass, fail, skip (its judge is not cleared), error
    Column("outcome", Text, nullable=False),
    Column("severity", Text, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("app", Text, nullable=False),
    Column("check", Text, nullable=False),
    Column("passed", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("at_least", Double, nullable=False),
    Column("delivered_ns", BigInteger),
    Column("error", Text),
)

# One row for each time that a task was due: whoever inserts it runs it.
schedules = Table(
    "schedules",
    metadata,
    Column("app", Text, primary_key=True),
    Column("task", Text, primary_key=True),
    Column("due_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("holder", Text),
    # running, ok, error, missed
    Column("status", Text, nullable=False),
    Column("started_ns", BigInteger),
    Column("ended_ns", BigInteger),
    Column("trace_id", Text),
    Column("error", Text),
)
