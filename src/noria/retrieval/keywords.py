"""Searching by words: FTS5 with BM25 in SQLite, a `tsvector` with weights by rarity in Postgres."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import Connection

__all__ = ["find_words"]

_WORD = re.compile(r"[^\W_]+")
_MOST_WORDS = 24
_STOP = frozenset(
    _WORD.findall(
        "a about after all also am an and any are as at be because been before being but by can"
        " could did do does doing during each few for from further had has have having he her here"
        " hers him his how i if in into is it its itself just me more most my no nor not now of off"
        " on once only or other our out over own same she should so some such than that the their"
        " them then there these they this those through to too under until up very was we were what"
        " when where which while who whom why will with would you your"
    )
)


def find_words(connection: Connection, question: str, k: int, shelves: Sequence[int]) -> list[int]:
    """The `k` chunks on these shelves that the words of a question fit best, the best first.

    Any of the words may be missing; rare ones count more, and those of headings double.
    """
    words = _words(question)
    if not words:
        return []
    if connection.dialect.name == "sqlite":
        return _sqlite(connection, words, k, shelves)
    return _postgres(connection, words, k, shelves)


def _words(question: str) -> list[str]:
    """The words that say something, each once; all of them where none does."""
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(question)))
    return ([word for word in words if word not in _STOP] or words)[:_MOST_WORDS]


def _sqlite(
    connection: Connection, words: Sequence[str], k: int, shelves: Sequence[int]
) -> list[int]:
    rows = connection.exec_driver_sql(
        "SELECT c.serial FROM chunk_words w JOIN chunks c ON c.serial = w.rowid"  # noqa: S608
        f" WHERE chunk_words MATCH ? AND c.shelf IN ({_listed(shelves)})"
        " ORDER BY bm25(chunk_words, 2.0, 1.0), c.serial LIMIT ?",
        (" OR ".join(f'"{word}"' for word in words), k),
    )
    return [row[0] for row in rows]


def _postgres(
    connection: Connection, words: Sequence[str], k: int, shelves: Sequence[int]
) -> list[int]:
    rows = connection.exec_driver_sql(
        "SELECT serial FROM chunks, to_tsquery('english', %s) AS wanted"
        " WHERE words @@ wanted AND shelf = ANY(%s)"
        " ORDER BY ts_rank(words, wanted, 1) DESC, serial LIMIT %s",
        (" | ".join(f"'{word}'" for word in words), list(shelves), k),
    )
    return [row[0] for row in rows]


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(int(number)) for number in numbers)
