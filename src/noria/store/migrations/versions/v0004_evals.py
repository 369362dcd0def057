"""Battles, their turns, how often each pair met, and stored evaluations.

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-24
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and the indexes that their pages read."""
    op.create_table(
        "battles",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("arena", sa.Text, nullable=False),
        sa.Column("model_a", sa.Text, nullable=False),
        sa.Column("model_b", sa.Text, nullable=False),
        sa.Column("winner", sa.Text),
        sa.Column("excluded", sa.Text),
        sa.Column("voter", sa.Text, nullable=False),
        sa.Column("judge", sa.Text),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("propensity", sa.Double, nullable=False),
        sa.Column("voted_ns", sa.BigInteger),
    )
    op.create_index("battles_at", "battles", ["at"])
    op.create_index("battles_voter", "battles", ["voter", "at"])
    op.create_table(
        "battle_turns",
        sa.Column("battle_id", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("answer_a", sa.Text, nullable=False),
        sa.Column("answer_b", sa.Text, nullable=False),
        sa.Column("end_a", sa.Text, nullable=False),
        sa.Column("end_b", sa.Text, nullable=False),
        sa.Column("trace_a", sa.Text),
        sa.Column("trace_b", sa.Text),
    )
    op.create_table(
        "looks",
        sa.Column("battle_id", sa.Text, primary_key=True),
        sa.Column("judge", sa.Text, primary_key=True),
        sa.Column("repeat", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("winner", sa.Text),
        sa.Column("shown", sa.Text, nullable=False),
        sa.Column("exchanged", sa.Text, nullable=False),
    )
    op.create_index("looks_judge", "looks", ["judge"])
    op.create_table(
        "pair_counts",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("arena", sa.Text, primary_key=True),
        sa.Column("category", sa.Text, primary_key=True),
        sa.Column("language", sa.Text, primary_key=True),
        sa.Column("model_a", sa.Text, primary_key=True),
        sa.Column("model_b", sa.Text, primary_key=True),
        sa.Column("wins_a", sa.BigInteger, nullable=False),
        sa.Column("wins_b", sa.BigInteger, nullable=False),
        sa.Column("ties", sa.BigInteger, nullable=False),
        sa.Column("both_bad", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "exclusions",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("arena", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, primary_key=True),
        sa.Column("battles", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "evaluations",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("app", sa.Text),
        sa.Column("summary", sa.Text, nullable=False),
    )
