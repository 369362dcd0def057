"""What was charged for attempts that were sent and got no answer.

Revision ID: 0008
Revises: 0007
Create Date: 2026-12-01
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the figure to spans and to their sums."""
    for table in ("spans", "rollups"):
        op.add_column(
            table,
            sa.Column("uncertain_nano", sa.BigInteger(), nullable=False, server_default="0"),
        )
