"""Plans of actions, their approvals, runs, journals and what they have made.

Revision ID: 0043
Revises: 0040
Create Date: 2026-12-01
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and the indexes that boards and reapers look through."""
    op.create_table(
        "action_plans",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("parent", sa.Text),
        *_person(),
        sa.Column("app", sa.Text),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_index("action_plans_at", "action_plans", ["at"])
    op.create_index("action_plans_hash", "action_plans", ["hash"])
    op.create_table(
        "action_approvals",
        sa.Column("plan_id", sa.Text, primary_key=True),
        sa.Column("hash", sa.Text, primary_key=True),
        *_person(primary=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("expires_ns", sa.BigInteger, nullable=False),
        sa.Column("used_ns", sa.BigInteger),
    )
    op.create_table(
        "action_runs",
        sa.Column("plan_id", sa.Text, primary_key=True),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("begun_ns", sa.BigInteger, nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("deadline_ns", sa.BigInteger, nullable=False),
        sa.Column("ended_ns", sa.BigInteger),
        sa.Column("span_id", sa.Text, nullable=False),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("ceiling_nano", sa.BigInteger, nullable=False),
        sa.Column("accelerator_seconds", sa.BigInteger, nullable=False),
        sa.Column("cost_nano", sa.BigInteger),
    )
    op.create_index("action_runs_status", "action_runs", ["status", "deadline_ns"])
    op.create_index("action_runs_begun", "action_runs", ["begun_ns"])
    op.create_table(
        "action_journal",
        sa.Column("plan_id", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("call", sa.Integer),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_table(
        "action_resources",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("call", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("price_hour_nano", sa.BigInteger, nullable=False),
        sa.Column("begun_ns", sa.BigInteger, nullable=False),
        sa.Column("ended_ns", sa.BigInteger),
        sa.Column("details", sa.Text, nullable=False),
    )
    op.create_index("action_resources_plan", "action_resources", ["plan_id"])


def _person(*, primary: bool = False) -> list[sa.Column[object]]:
    """Who planned or signed, with the roles that he had then."""
    return [
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("person", sa.Text, nullable=False, primary_key=primary),
        sa.Column("team", sa.Text),
        sa.Column("user", sa.Text),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("admin", sa.Boolean, nullable=False),
    ]
