"""The tables of data sets: their versions, the rows of each, and what people said of rows.

Labels are the numbers of `noria.types.Label`; instants are UTC nanoseconds since the epoch. The
texts of rows stand in files of the home; a row here says where in the file it begins.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, SmallInteger, Table, Text

from noria.store.tables.core import metadata

__all__ = ["corrections", "dataset_rows", "datasets", "row_reviews"]

datasets = Table(
    "datasets",
    metadata,
    Column("name", Text, primary_key=True),
    # The beginning of the SHA-256 of the file of rows.
    Column("version", Text, primary_key=True),
    Column("serial", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("turns", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    # The highest of its rows.
    Column("label", SmallInteger, nullable=False),
    # The newest of its name.
    Column("current", Boolean, nullable=False),
    # `name@version` of what it was made of, as a JSON array
    Column("parents", Text, nullable=False),
    Column("report", Text, nullable=False),
    # Why it may not be learned from any more; null where it may.
    Column("marked", Text),
)

dataset_rows = Table(
    "dataset_rows",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("turns", Integer, nullable=False),
    Column("label", SmallInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("trace_id", Text),
    Column("owner", Text),
    Column("licence", Text),
    Column("consent", Text),
    Column("language", Text),
    Column("preference", Boolean, nullable=False),
)

# What a person decided about a row, by what the row says: it holds for every version with it.
row_reviews = Table(
    "row_reviews",
    metadata,
    Column("name", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    # accept, reject, edit, chosen, rejected (which of the two of a preference is better)
    Column("decision", Text, nullable=False),
    Column("answer", Text),
    # a JSON array
    Column("tags", Text, nullable=False),
)

# What a recorded answer should have been.
corrections = Table(
    "corrections",
    metadata,
    Column("trace_id", Text, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("answer", Text, nullable=False),
)
