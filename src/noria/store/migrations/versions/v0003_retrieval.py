"""Indexes, their documents, and the chunks that searches find.

Revision ID: 0003
Revises: 0002
Create Date: 2026-11-24
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# The words of the chunks refer to the rows of `chunks`; an external-content table of FTS5 is told
# what to forget by the old values, which triggers know best.
SQLITE_WORDS = (
    "CREATE VIRTUAL TABLE chunk_words USING fts5(heading, text, content='chunks',"
    " content_rowid='serial', tokenize='porter unicode61 remove_diacritics 2')",
    "CREATE VIRTUAL TABLE chunk_words_counts USING fts5vocab('chunk_words', 'row')",
    "CREATE TRIGGER chunks_insert AFTER INSERT ON chunks BEGIN"
    " INSERT INTO chunk_words (rowid, heading, text) VALUES (new.serial, new.heading, new.text);"
    " END",
    "CREATE TRIGGER chunks_delete AFTER DELETE ON chunks BEGIN"
    " INSERT INTO chunk_words (chunk_words, rowid, heading, text)"
    " VALUES ('delete', old.serial, old.heading, old.text);"
    " END",
)
POSTGRES_WORDS = (
    "ALTER TABLE chunks ADD COLUMN words TSVECTOR GENERATED ALWAYS AS"
    " (setweight(to_tsvector('english', heading), 'B') || to_tsvector('english', text)) STORED",
    "CREATE INDEX chunks_words ON chunks USING GIN (words)",
    # in the row itself, where ranking reads it; what is long in a row is its text
    "ALTER TABLE chunks ALTER COLUMN words SET STORAGE MAIN",
    "ALTER TABLE chunks ALTER COLUMN words SET STATISTICS 1000",
)


def upgrade() -> None:
    """Make the tables, their indexes, and the index of words."""
    op.create_table(
        "indexes",
        sa.Column("serial", ROW_ID, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("app", sa.Text),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("dimensions", sa.Integer),
        sa.Column("store", sa.Text, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("built_ns", sa.BigInteger),
        sa.Column("report", sa.Text),
    )
    op.create_table(
        "shelves",
        sa.Column("serial", ROW_ID, primary_key=True),
        sa.Column("index_id", sa.BigInteger, nullable=False),
        sa.Column("label", sa.SmallInteger, nullable=False),
        sa.Column("grants", sa.Text, nullable=False),
        sa.UniqueConstraint("index_id", "label", "grants"),
    )
    op.create_table(
        "documents",
        sa.Column("serial", ROW_ID, primary_key=True),
        sa.Column("index_id", sa.BigInteger, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("title", sa.Text),
        sa.Column("source", sa.Text),
        sa.Column("shelf", sa.BigInteger),
        sa.Column("digest", sa.LargeBinary),
        sa.Column("characters", sa.BigInteger, nullable=False),
        sa.Column("chunks", sa.Integer, nullable=False),
        sa.Column("indexed_ns", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("removed_ns", sa.BigInteger),
        sa.UniqueConstraint("index_id", "id"),
    )
    op.create_table(
        "chunks",
        sa.Column("serial", ROW_ID, primary_key=True),
        sa.Column("index_id", sa.BigInteger, nullable=False),
        sa.Column("document", sa.BigInteger, nullable=False),
        sa.Column("shelf", sa.BigInteger, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("heading", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("embedded", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "chunk_vectors",
        sa.Column("chunk", ROW_ID, primary_key=True, autoincrement=False),
        sa.Column("index_id", sa.BigInteger, nullable=False),
        sa.Column("shelf", sa.BigInteger, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
    )
    op.create_index("chunks_document", "chunks", ["document", "number"])
    pending = sa.text("NOT embedded")
    op.create_index(
        "chunks_pending",
        "chunks",
        ["index_id", "serial"],
        sqlite_where=pending,
        postgresql_where=pending,
    )
    # covers the list of what is in an index, beside the vectors themselves
    op.create_index("chunk_vectors_index", "chunk_vectors", ["index_id", "chunk", "shelf"])
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in SQLITE_WORDS if sqlite else POSTGRES_WORDS:
        op.execute(statement)
