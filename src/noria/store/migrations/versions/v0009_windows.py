"""When a budget's window was opened, before which calls hold nothing of it; damaged journals.

Revision ID: 0009
Revises: 0008
Create Date: 2026-12-01
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the instant and the flag."""
    op.add_column(
        "budget_windows",
        sa.Column("opened_ns", sa.BigInteger(), nullable=False, server_default="0"),
    )
    op.add_column(
        "journals",
        sa.Column("damaged", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_index("budget_windows_opened", "budget_windows", ["opened_ns"])
