"""Data sets, their rows, reviews of rows, and corrections of recorded answers.

Revision ID: 0040
Revises: 0009
Create Date: 2026-12-01
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and the indexes that the pages filter by."""
    op.create_table(
        "datasets",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("serial", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("turns", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("label", sa.SmallInteger, nullable=False),
        sa.Column("current", sa.Boolean, nullable=False),
        sa.Column("parents", sa.Text, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("marked", sa.Text),
    )
    op.create_table(
        "dataset_rows",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("turns", sa.Integer, nullable=False),
        sa.Column("label", sa.SmallInteger, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("trace_id", sa.Text),
        sa.Column("owner", sa.Text),
        sa.Column("licence", sa.Text),
        sa.Column("consent", sa.Text),
        sa.Column("language", sa.Text),
        sa.Column("preference", sa.Boolean, nullable=False),
    )
    for column in ("label", "language", "id"):
        op.create_index(
            f"dataset_rows_{column}", "dataset_rows", ["name", "version", column, "number"]
        )
    for column in ("trace_id", "owner"):
        op.create_index(
            f"dataset_rows_{column}",
            "dataset_rows",
            [column],
            sqlite_where=sa.text(f"{column} IS NOT NULL"),
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )
    op.create_table(
        "row_reviews",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("person", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("tags", sa.Text, nullable=False),
    )
    op.create_table(
        "corrections",
        sa.Column("trace_id", sa.Text, primary_key=True),
        sa.Column("person", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
    )
