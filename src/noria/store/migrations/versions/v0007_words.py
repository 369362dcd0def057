"""The words of chunks and of messages are those of `noria.words`, alike in both databases.

A chunk whose text is not ASCII has its words beside it; the words of ASCII are its letters and
digits. Messages are put into the queue of the text index again.

Revision ID: 0007
Revises: 0006
Create Date: 2026-12-01
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SQLITE = (
    "DROP TRIGGER chunks_insert",
    "DROP TRIGGER chunks_delete",
    "DROP TABLE chunk_words_counts",
    "DROP TABLE chunk_words",
    "CREATE VIEW chunk_texts AS SELECT serial, coalesce(heading_words, heading) AS heading,"
    " coalesce(text_words, text) AS text FROM chunks",
    "CREATE VIRTUAL TABLE chunk_words USING fts5(heading, text, content='chunk_texts',"
    " content_rowid='serial', tokenize='porter unicode61 remove_diacritics 2')",
    "CREATE VIRTUAL TABLE chunk_words_counts USING fts5vocab('chunk_words', 'row')",
    "CREATE TRIGGER chunks_insert AFTER INSERT ON chunks BEGIN"
    " INSERT INTO chunk_words (rowid, heading, text) VALUES (new.serial,"
    " coalesce(new.heading_words, new.heading), coalesce(new.text_words, new.text));"
    " END",
    "CREATE TRIGGER chunks_delete AFTER DELETE ON chunks BEGIN"
    " INSERT INTO chunk_words (chunk_words, rowid, heading, text) VALUES ('delete', old.serial,"
    " coalesce(old.heading_words, old.heading), coalesce(old.text_words, old.text));"
    " END",
    "INSERT INTO chunk_words (chunk_words) VALUES ('rebuild')",
    "INSERT INTO message_text (message_text) VALUES ('delete-all')",
)
_WORDS = (
    "to_tsvector('english', regexp_replace(coalesce({0}_words, {0}), '[^A-Za-z0-9]+', ' ', 'g'))"
)
POSTGRES = (
    "ALTER TABLE chunks DROP COLUMN words",
    "ALTER TABLE chunks ADD COLUMN words TSVECTOR GENERATED ALWAYS AS"
    f" (setweight({_WORDS.format('heading')}, 'B') || {_WORDS.format('text')}) STORED",
    "CREATE INDEX chunks_words ON chunks USING GIN (words)",
    "ALTER TABLE chunks ALTER COLUMN words SET STORAGE MAIN",
    "ALTER TABLE chunks ALTER COLUMN words SET STATISTICS 1000",
    "TRUNCATE message_text",
)
_BATCH = 500


def upgrade() -> None:
    """Add the words, and make the indexes of words anew."""
    from noria.words import indexed_words

    op.add_column("chunks", sa.Column("heading_words", sa.Text))
    op.add_column("chunks", sa.Column("text_words", sa.Text))
    connection = op.get_bind()
    chunks = sa.table(
        "chunks",
        *map(sa.column, ("serial", "heading", "text", "heading_words", "text_words")),
    )
    last = -1
    while rows := connection.execute(
        sa.select(chunks.c.serial, chunks.c.heading, chunks.c.text)
        .where(chunks.c.serial > last)
        .order_by(chunks.c.serial)
        .limit(_BATCH)
    ).fetchall():
        for row in rows:
            words = {
                f"{name}_words": indexed_words(text)
                for name, text in (("heading", row.heading), ("text", row.text))
                if not text.isascii()
            }
            if words:
                connection.execute(
                    sa.update(chunks).where(chunks.c.serial == row.serial).values(**words)
                )
        last = rows[-1].serial
    for statement in SQLITE if connection.dialect.name == "sqlite" else POSTGRES:
        connection.exec_driver_sql(statement)
    op.execute("DELETE FROM text_queue")
    op.execute("INSERT INTO text_queue (at) SELECT at FROM payloads")
