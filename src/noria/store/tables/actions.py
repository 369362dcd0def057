"""The tables of plans: what was planned, who signed, what was done, and what runs.

Instants are UTC nanoseconds since the epoch, amounts nano-dollars.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, Table, Text

from noria.store.tables.core import metadata

__all__ = ["action_approvals", "action_journal", "action_plans", "action_resources", "action_runs"]

action_plans = Table(
    "action_plans",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    # The plan that it was made of, by narrowing it or by taking an alternative.
    Column("parent", Text),
    Column("key_id", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("team", Text),
    Column("user", Text),
    Column("groups", Text, nullable=False),
    Column("admin", Boolean, nullable=False),
    Column("app", Text),
    # As it was hashed, but for its id.
    Column("content", Text, nullable=False),
)

action_approvals = Table(
    "action_approvals",
    metadata,
    Column("plan_id", Text, primary_key=True),
    Column("hash", Text, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("team", Text),
    Column("user", Text),
    Column("groups", Text, nullable=False),
    Column("admin", Boolean, nullable=False),
    # approved, rejected
    Column("decision", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("used_ns", BigInteger),
)

# One for each plan: a plan is carried out once.
action_runs = Table(
    "action_runs",
    metadata,
    Column("plan_id", Text, primary_key=True),
    Column("hash", Text, nullable=False),
    # applying, running, done, partial, stuck, undoing, undone, expired
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("begun_ns", BigInteger, nullable=False),
    Column("person", Text, nullable=False),
    Column("deadline_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger),
    Column("span_id", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("ceiling_nano", BigInteger, nullable=False),
    # Accelerators times seconds until the time to live ends.
    Column("accelerator_seconds", BigInteger, nullable=False),
    # What it has cost; null until it is settled.
    Column("cost_nano", BigInteger),
)

# Written before and after everything that is done; never changed.
action_journal = Table(
    "action_journal",
    metadata,
    Column("plan_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("call", Integer),
    Column("content", Text, nullable=False),
)

action_resources = Table(
    "action_resources",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("plan_id", Text, nullable=False),
    Column("call", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("price_hour_nano", BigInteger, nullable=False),
    Column("begun_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger),
    Column("details", Text, nullable=False),
)
