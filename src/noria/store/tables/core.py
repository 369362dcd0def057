"""The tables of what happened and what it cost, and the version of them that this code works with.

All instants are UTC nanoseconds since the epoch and all amounts nano-dollars. Text search lives
in `message_text`, which each dialect keeps in its own way (see `text.py`), and indexes stand in the
migrations.
"""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    false,
)

__all__ = [
    "VERSION",
    "budget_windows",
    "budgets",
    "holders",
    "holds",
    "journals",
    "keys",
    "latencies",
    "lease_charges",
    "leases",
    "metadata",
    "payloads",
    "rollups",
    "sessions",
    "settings",
    "sign_in_links",
    "spans",
    "teams",
    "text_queue",
    "users",
]

VERSION = max(
    name[1:5]
    for name in os.listdir(Path(__file__).parents[1] / "migrations" / "versions")
    if name[:1] == "v" and name.endswith(".py")
)
"""The newest migration, as `alembic_version` names it."""

metadata = MetaData()

# In SQLite only a column declared INTEGER is the row id itself.
_RowId = BigInteger().with_variant(Integer, "sqlite")

spans = Table(
    "spans",
    metadata,
    # When it began, made unique by adding nanoseconds: the table lies in the order of time, and
    # every index ends with it, so that "the newest 50 with this model" is read straight off.
    Column("at", _RowId, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("parent_id", Text),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("name", Text),
    Column("model", Text),
    Column("target", Text),
    Column("key_id", Text),
    Column("team", Text),
    Column("user", Text),
    Column("app", Text),
    Column("duration_ms", Double),
    Column("ttft_ms", Double),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("cost_nano", BigInteger, nullable=False),
    Column("overrun", Boolean, nullable=False),
    # Of the cost, what was charged for attempts that nobody knows the price of.
    Column("uncertain_nano", BigInteger, nullable=False, server_default="0"),
    Column("stream", Boolean, nullable=False),
    Column("attempts", SmallInteger, nullable=False),
    Column("error_code", Text),
    Column("error", Text),
    Column("attributes", Text),
    # The process that works on it; a dead one's open spans are lost.
    Column("holder", Text),
)

payloads = Table(
    "payloads",
    metadata,
    Column("at", _RowId, primary_key=True, autoincrement=False),
    # as `bodies` deflates them; null where content was not recorded
    Column("request", LargeBinary),
    Column("response", LargeBinary),
    Column("response_media", Text),
)

text_queue = Table(
    "text_queue",
    metadata,
    Column("at", _RowId, primary_key=True, autoincrement=False),
)

keys = Table(
    "keys",
    metadata,
    Column("serial", _RowId, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("name", Text),
    Column("hint", Text, nullable=False),
    Column("team", Text),
    Column("user", Text),
    Column("admin", Boolean, nullable=False),
    Column("models", Text),
    Column("rpm", BigInteger),
    Column("tpm", BigInteger),
    Column("concurrency", BigInteger),
    Column("groups", Text, nullable=False),
    Column("clearance", SmallInteger, nullable=False),
    Column("record_content", Boolean, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("revoked_ns", BigInteger),
)

teams = Table(
    "teams",
    metadata,
    Column("name", Text, primary_key=True),
    Column("created_ns", BigInteger, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("name", Text, primary_key=True),
    Column("created_ns", BigInteger, nullable=False),
)

budgets = Table(
    "budgets",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("name", Text, nullable=False),
    # Null where the budget was lifted: the row stays, so that its windows are not forgotten
    # when it is set again.
    Column("limit_nano", BigInteger),
    Column("window", Text, nullable=False),
    Column("from_file", Boolean, nullable=False),
    # The generation of the change that calls under way may not know of; 0 once all do.
    Column("changed", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("subject", "name"),
)

budget_windows = Table(
    "budget_windows",
    metadata,
    Column("budget_id", BigInteger, primary_key=True, autoincrement=False),
    Column("start_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("settled_nano", BigInteger, nullable=False),
    Column("leased_nano", BigInteger, nullable=False),
)

# Leases that were charged whole because nobody can know what was spent of them.
lease_charges = Table(
    "lease_charges",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("budget_id", BigInteger, nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("nano", BigInteger, nullable=False),
)

holders = Table(
    "holders",
    metadata,
    Column("holder", Text, primary_key=True),
    Column("pid", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    # The generation of the budgets that its home knows, with all earlier holds in the store.
    Column("seen", BigInteger, nullable=False, server_default="0"),
)

leases = Table(
    "leases",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("budget_id", BigInteger, nullable=False),
    Column("start_ns", BigInteger, nullable=False),
    # What was granted and neither settled nor given back. `budget_windows.leased_nano` is the
    # sum of these.
    Column("remaining_nano", BigInteger, nullable=False),
    UniqueConstraint("holder", "budget_id", "start_ns"),
)

holds = Table(
    "holds",
    metadata,
    Column("span_id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("hold_nano", BigInteger, nullable=False),
    # the ids of the leases it stands on, as a JSON array
    Column("leases", Text, nullable=False),
)

journals = Table(
    "journals",
    metadata,
    Column("holder", Text, primary_key=True),
    Column("segment", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    # The number of the record that comes next; null where that is not known.
    Column("next", BigInteger),
    # The holder is dead and all it wrote is taken in: its files may go.
    Column("done", Boolean, nullable=False),
    # Something in it could not be read: its holder's leases are charged when it ends.
    Column("damaged", Boolean, nullable=False, server_default=false()),
)

rollups = Table(
    "rollups",
    metadata,
    Column("grain", SmallInteger, primary_key=True, autoincrement=False),
    Column("start_ns", BigInteger, primary_key=True, autoincrement=False),
    # "" where there is none, since a primary key cannot hold null
    Column("model", Text, primary_key=True),
    Column("team", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("user", Text, primary_key=True),
    Column("target", Text, primary_key=True),
    Column("app", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    Column("uncertain_nano", BigInteger, nullable=False, server_default="0"),
)

latencies = Table(
    "latencies",
    metadata,
    Column("grain", SmallInteger, primary_key=True, autoincrement=False),
    Column("start_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("model", Text, primary_key=True),
    Column("bucket", SmallInteger, primary_key=True, autoincrement=False),
    Column("calls", BigInteger, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
