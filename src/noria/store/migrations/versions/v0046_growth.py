"""Revisions, where they are deployed, what was decided of them, and the catalogue of resources.

Revision ID: 0046
Revises: 0043
Create Date: 2026-12-01
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "revisions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("apps", sa.Text, nullable=False),
        sa.Column("parts", sa.Text, nullable=False),
    )
    op.create_table(
        "revision_evaluations",
        sa.Column("revision", sa.Text, primary_key=True),
        sa.Column("folder", sa.Text, primary_key=True),
        sa.Column("contestant", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "deployments",
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("app", sa.Text, primary_key=True),
        sa.Column("revision", sa.Text),
        sa.Column("previous", sa.Text),
        sa.Column("canary", sa.Text),
        sa.Column("share", sa.Double),
        sa.Column("evidence", sa.Text),
        sa.Column("pending", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("address", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "deployment_decisions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("app", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("figures", sa.Text, nullable=False),
    )
    op.create_table(
        "resources",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("secret", sa.Text),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("grants", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("tested_ns", sa.BigInteger),
        sa.Column("problem", sa.Text),
    )
    op.create_index("deployment_decisions_at", "deployment_decisions", ["target", "app", "at"])
