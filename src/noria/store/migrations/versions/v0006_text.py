"""The text index of SQLite joins eight of its pieces at a time instead of four.

Each batch of the intake adds a piece, and every word is written again each time its piece is
joined. Not sixteen: so many at once SQLite joins within the transaction that adds the last.

Revision ID: 0006
Revises: 0005
Create Date: 2026-11-28
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Set it in the index itself, for all that write to it."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("INSERT INTO message_text (message_text, rank) VALUES ('automerge', 8)")
