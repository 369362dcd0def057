"""Searching by words: FTS5 with BM25 in SQLite, a `tsvector` with weights by rarity in Postgres.

A question in plain words holds some that stand in a tenth of all passages. To rank everything that
has any of them takes long and changes nothing at the top, so only passages with one of its rarest
words are ranked, by all of its words; where the reader's shelves have too few of those, all are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Engine

from noria.words import words_of_question

__all__ = ["find_words"]

_MOST_WORDS = 24
_FEW = 1_000
"""As many passages are gladly ranked one by one."""
_STOP_WORDS = """
a about after all also am an and any are as at be because been before being but by can could
did do does doing during each few for from further had has have having he her here hers him his
how i if in into is it its itself just me more most my no nor not now of off on once only or
other our out over own same she should so some such than that the their them then there these
they this those through to too under until up very was we were what when where which while who
whom why will with would you your
"""
_STOP = frozenset(_STOP_WORDS.split())


def find_words(connection: Connection, question: str, k: int, shelves: Sequence[int]) -> list[int]:
    """The `k` chunks on these shelves that the words of a question fit best, the best first.

    Any of the words may be missing, and rare ones count more.
    """
    words = _words(question)
    if not words:
        return []
    search = _sqlite if connection.dialect.name == "sqlite" else _postgres
    return search(connection, words, k, shelves)


def _words(question: str) -> list[str]:
    """The words that say something, each once; all of them where none does."""
    words = words_of_question(question)
    return ([word for word in words if word not in _STOP] or words)[:_MOST_WORDS]


def _rarest(counts: Mapping[str, float]) -> list[str]:
    """The rarest words, as many as few passages have; at least one."""
    chosen: list[str] = []
    total = 0.0
    for word in sorted(counts, key=lambda word: counts[word]):
        total += counts[word]
        if chosen and total > _FEW:
            break
        chosen.append(word)
    return chosen


def _enough(k: int) -> int:
    """How many passages with a rare word make it needless to rank those without one."""
    return max(min(k, 10), k // 4)


def _sqlite(
    connection: Connection, words: Sequence[str], k: int, shelves: Sequence[int]
) -> list[int]:
    counting = "SELECT ?, (SELECT count(*) FROM chunk_words WHERE chunk_words MATCH ?)"
    counted = connection.exec_driver_sql(
        " UNION ALL ".join(counting for _ in words),
        tuple(part for word in words for part in (word, _any([word]))),
    )
    counts = {word: count for word, count in counted if count}
    if not counts:
        return []
    rare = _rarest(counts)
    common = [word for word in counts if word not in rare]
    found: list[int] = []
    if common:
        # BM25 counts each mention of a word in the query: that each stands there twice keeps
        # their weights as they are to each other.
        twice = f"({_any(rare)}) AND ({_any(rare)} OR {_any(common)} OR {_any(common)})"
        found = _bm25(connection, twice, k, shelves)
    if len(found) < _enough(k):
        found = _bm25(connection, _any(list(counts)), k, shelves)
    return found


def _any(words: Sequence[str]) -> str:
    return " OR ".join(f'"{word}"' for word in words)


def _bm25(connection: Connection, match: str, k: int, shelves: Sequence[int]) -> list[int]:
    on = ", ".join(str(int(shelf)) for shelf in shelves)
    rows = connection.exec_driver_sql(
        "SELECT c.serial FROM chunk_words w JOIN chunks c ON c.serial = w.rowid"  # noqa: S608
        f" WHERE chunk_words MATCH ? AND c.shelf IN ({on})"
        " ORDER BY bm25(chunk_words, 2.0, 1.0), c.serial LIMIT ?",
        (match, k),
    )
    return [row[0] for row in rows]


def _postgres(
    connection: Connection, words: Sequence[str], k: int, shelves: Sequence[int]
) -> list[int]:
    stems = connection.exec_driver_sql(
        "SELECT tsvector_to_array(to_tsvector('english', %s))", (" ".join(words),)
    ).scalar_one()
    if not stems:
        return []
    common = _shares.of(connection)
    shares = {stem: common.get(stem, 0.0) for stem in stems}
    rare = _rarest({stem: share * common.get("", 0.0) for stem, share in shares.items()})
    found = _weighted(connection, rare, shares, k, shelves) if len(rare) < len(shares) else []
    if len(found) < _enough(k):
        found = _weighted(connection, stems, shares, k, shelves)
    return found


def _weighted(
    connection: Connection,
    having: Sequence[str],
    shares: Mapping[str, float],
    k: int,
    shelves: Sequence[int],
) -> list[int]:
    """Chunks that have any of some words, by the weights of all words that they have. A word's
    weight is its inverse document frequency; long passages have more words by chance."""
    # Always the same text for as many words: the driver has it prepared.
    weights = " + ".join("%s::float8 * (words @@ %s::tsquery)::int" for _ in shares)
    weighted: list[float | str] = []
    for stem, share in shares.items():
        weighted += (-math.log(max(share, _LEAST_SHARE)), _lexeme(stem))
    rows = connection.exec_driver_sql(
        "SELECT serial FROM chunks WHERE words @@ %s::tsquery AND shelf = ANY(%s)"  # noqa: S608
        f" ORDER BY ({weights}) / (200 + length(words)) DESC, serial LIMIT %s",
        (" | ".join(map(_lexeme, having)), list(shelves), *weighted, k),
    )
    return [row[0] for row in rows]


_LEAST_SHARE = 3e-4
"""Of a word that Postgres has not counted, since it is rare."""


def _lexeme(word: str) -> str:
    """A stem as a query of its own."""
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"


class _Shares:
    """In what share of all chunks each common stem stands, as Postgres has counted: what is not
    among them is rare. The number of chunks stands under the empty word."""

    _SECONDS = 60.0

    def __init__(self) -> None:
        self._known: dict[Engine, tuple[float, dict[str, float]]] = {}

    def of(self, connection: Connection) -> dict[str, float]:
        at, shares = self._known.get(connection.engine, (-math.inf, {}))
        if time.monotonic() - at > self._SECONDS:
            shares = self._counted(connection)
            self._known[connection.engine] = (time.monotonic(), shares)
        return shares

    @staticmethod
    def _counted(connection: Connection) -> dict[str, float]:
        row = connection.exec_driver_sql(
            "SELECT s.most_common_elems::text::text[], s.most_common_elem_freqs, c.reltuples"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname"
            " AND s.attname = 'words'"
            " WHERE c.oid = 'chunks'::regclass"
        ).first()
        if row is None or row[0] is None:
            return {}
        # after the stems' own shares come their least and greatest
        return dict(zip(row[0], row[1], strict=False)) | {"": max(row[2], 0)}


_shares = _Shares()
