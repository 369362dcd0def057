"""Spans that wait to be sent to a collector.

Revision ID: 0005
Revises: 0004
Create Date: 2026-11-24
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the queue."""
    op.create_table(
        "exports",
        sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("claimed_ns", sa.BigInteger, nullable=False),
    )
