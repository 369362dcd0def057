"""What may be seen, what was used, and what was thought of it.

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-24
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and the indexes that their pages read."""
    op.create_table(
        "marks",
        sa.Column("trace_id", sa.Text, primary_key=True),
        sa.Column("label", sa.SmallInteger, nullable=False),
    )
    op.create_table(
        "conversations",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("app", sa.Text, nullable=False),
        sa.Column("label", sa.SmallInteger, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("updated_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "turns",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("conversation_id", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
    )
    op.create_index("turns_trace", "turns", ["trace_id"])
    op.create_table(
        "feedback",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("user", sa.Text),
        sa.Column("score", sa.Double),
        sa.Column("comment", sa.Text),
    )
    op.create_index("feedback_trace", "feedback", ["trace_id"])
    op.create_index("feedback_at", "feedback", ["at"])
    op.create_table(
        "document_uses",
        sa.Column("span_id", sa.Text, primary_key=True),
        sa.Column("index", sa.Text, primary_key=True),
        sa.Column("document", sa.Text, primary_key=True),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("label", sa.SmallInteger, nullable=False),
        sa.Column("title", sa.Text),
        sa.Column("key_id", sa.Text),
        sa.Column("user", sa.Text),
        sa.Column("deleted_ns", sa.BigInteger),
        sa.Column("redacted_ns", sa.BigInteger),
    )
    op.create_index("document_uses_trace", "document_uses", ["trace_id"])
    op.create_index("document_uses_document", "document_uses", ["document", "index", "at"])
    op.create_table(
        "verdicts",
        sa.Column("span_id", sa.Text, primary_key=True),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("app", sa.Text, nullable=False),
        sa.Column("check", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
    )
    op.create_index("verdicts_check", "verdicts", ["app", "check", "at"])
    op.create_table(
        "alerts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("app", sa.Text, nullable=False),
        sa.Column("check", sa.Text, nullable=False),
        sa.Column("passed", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("at_least", sa.Double, nullable=False),
        # Null until somebody was told; then what came of telling.
        sa.Column("delivered_ns", sa.BigInteger),
        sa.Column("error", sa.Text),
    )
    op.create_index("alerts_check", "alerts", ["app", "check", "at"])
    op.create_table(
        "schedules",
        sa.Column("app", sa.Text, primary_key=True),
        sa.Column("task", sa.Text, primary_key=True),
        sa.Column("due_ns", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("holder", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("started_ns", sa.BigInteger),
        sa.Column("ended_ns", sa.BigInteger),
        sa.Column("trace_id", sa.Text),
        sa.Column("error", sa.Text),
    )
