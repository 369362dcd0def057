"""Which processes know of a changed budget; charged leases; numbers of a journal's records.

Revision ID: 0041
Revises: 0040
Create Date: 2026-12-01
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Count by generations, keep what was charged for no call, and notice what is missing."""
    op.add_column(
        "budgets", sa.Column("changed", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column("holders", sa.Column("seen", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "lease_charges",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("budget_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("nano", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_lease_charges_budget_id", "lease_charges", ["budget_id"])
    op.add_column("journals", sa.Column("next", sa.BigInteger()))
    op.drop_index("budget_windows_opened", "budget_windows")
    op.drop_column("budget_windows", "opened_ns")
