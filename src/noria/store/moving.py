"""Moving a home's records from SQLite to Postgres, while the home serves.

Table by table the target is made level with the source: pages of rows in the order of the primary
key are compared, and what differs is written. So a move that was killed goes on where it was, and
what changed meanwhile is caught up by another pass. The last pass is made while writers wait (calls
go on, in their journals); counts and sums are verified on both sides before the home is switched.
Until that moment the old database is the one that counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    func,
    literal,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert

from noria.errors import ConfigError, NoriaError
from noria.store import learning
from noria.store.database import Database
from noria.store.tables import actions, core, evals, governance, growth, retrieval
from noria.store.traces import exports

__all__ = ["Moved", "move_store"]

Progress = Callable[[str, int, int], None]

_ROWS = 1000
_PASSES = 5
_FEW = 1000
"""A pass that changes no more than this leaves little for the one that writers wait for."""
_DERIVED = {"text_queue"}
"""Made anew in the target."""
_MARK = Table("store_moves", MetaData(), Column("home", Text, primary_key=True))
"""In the target while a move to it is under way: whose home it is."""
_METADATA = (core, actions, exports, learning, evals, governance, growth, retrieval)[0].metadata


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move has copied and verified."""

    rows: dict[str, int]
    """How many there are in each table, on both sides."""
    sums: dict[str, int]
    """The sum of each column of money, on both sides, in nano-dollars."""
    seconds: float
    held_seconds: float
    """How long writers waited."""


def move_store(
    source: Database,
    target: Database,
    switch: Callable[[], None],
    progress: Progress = lambda *_: None,
) -> Moved:
    """Copy a home from SQLite to Postgres, catch up, verify, and switch.

    Args:
        source: the SQLite database.
        target: an empty Postgres database, or one that an earlier move from this home began on.
        switch: makes the home use the target; called while nobody can write to the source.
        progress: told the table, rows looked at, and rows in all.

    Raises:
        ConfigError: the databases are not of these kinds, or the target holds another home.
        NoriaError: the sides differ after the copy; the home goes on with the old database.
        StoreUnavailable: the target cannot be reached; the same call goes on later.
    """
    begun = time.monotonic()
    if source.dialect != "sqlite" or target.dialect != "postgresql":
        raise ConfigError("A store is moved from SQLite to postgresql://, and not otherwise.")
    source.migrate()
    target.migrate()
    _claim(source, target)
    tables = [one for one in _METADATA.sorted_tables if one.name not in _DERIVED]
    for _ in range(_PASSES):
        if sum(_level(source, target, table, progress) for table in tables) <= _FEW:
            break
    with source.hold():
        held = time.monotonic()
        for table in tables:
            _level(source, target, table, progress)
        rows, sums = _verified(source, target, tables)
        _finish(target, tables)
        switch()
        waited = time.monotonic() - held
    return Moved(rows, sums, time.monotonic() - begun, waited)


def _claim(source: Database, target: Database) -> None:
    """Note in the target whose it is, if nobody's records are there."""
    home = str(source.home.resolve())
    with target.write() as connection:
        if not connection.dialect.has_table(connection, _MARK.name):
            for table in (core.keys, core.spans, core.budgets):
                if connection.execute(select(func.count()).select_from(table)).scalar():
                    raise ConfigError(f"{target} holds records already.", "Name an empty database.")
            _MARK.create(connection)
            connection.execute(_MARK.insert().values(home=home))
            # A migration makes rows, which are the source's to say.
            for table in _METADATA.sorted_tables:
                connection.execute(delete(table))
        known = connection.execute(select(_MARK.c.home)).scalar()
        if known != home:
            raise ConfigError(
                f"A move from another home to {target} is under way.", "Name an empty database."
            )


def _level(source: Database, target: Database, table: Table, progress: Progress) -> int:
    """Make a table of the target the same as the source's. Each page is a transaction.

    Returns: how many rows were written or deleted.
    """
    keys = list(table.primary_key.columns)
    after: tuple[Any, ...] | None = None
    changed = done = 0
    with source.read() as reading:
        total = int(reading.execute(select(func.count()).select_from(table)).scalar() or 0)
    while True:
        with source.read() as reading:
            page = _page(reading, table, keys, after, None, _ROWS)
        last = _key(page[-1], keys) if len(page) == _ROWS else None
        with target.write() as connection:
            there = _page(connection, table, keys, after, last, None)
            changed += _write(connection, table, keys, page, there)
        done += len(page)
        progress(table.name, done, max(total, done))
        if last is None:
            return changed
        after = last


def _page(
    connection: Connection, table: Table, keys: Sequence[Column[Any]],
    after: tuple[Any, ...] | None, until: tuple[Any, ...] | None, limit: int | None,
) -> list[dict[str, Any]]:  # fmt: skip
    """The rows after one key and up to another, in the order of bytes on both sides."""
    plain = connection.dialect.name == "sqlite"
    ordered = [key if plain or not isinstance(key.type, Text) else key.collate("C") for key in keys]
    query = select(table).order_by(*ordered).limit(limit)
    if after is not None:
        query = query.where(tuple_(*ordered) > tuple_(*_bound(keys, after)))
    if until is not None:
        query = query.where(tuple_(*ordered) <= tuple_(*_bound(keys, until)))
    return [
        {name: _portable(value) for name, value in row._mapping.items()}
        for row in connection.execute(query)
    ]


def _bound(keys: Sequence[Column[Any]], values: tuple[Any, ...]) -> list[Any]:
    return [literal(value, key.type) for key, value in zip(keys, values, strict=True)]


def _write(
    connection: Connection, table: Table, keys: Sequence[Column[Any]],
    wanted: Sequence[dict[str, Any]], there: Sequence[dict[str, Any]],
) -> int:  # fmt: skip
    known = {_key(row, keys): row for row in there}
    gone = known.keys() - {_key(row, keys) for row in wanted}
    fresh = [row for row in wanted if known.get(_key(row, keys)) != row]
    # First what is gone: another row may have its unique value now.
    for key in gone:
        connection.execute(
            delete(table).where(*(one == value for one, value in zip(keys, key, strict=True)))
        )
    if fresh:
        added = insert(table)
        rest = {one.name: added.excluded[one.name] for one in table.c if one not in set(keys)}
        names = [key.name for key in keys]
        connection.execute(
            added.on_conflict_do_update(index_elements=names, set_=rest)
            if rest
            else added.on_conflict_do_nothing(index_elements=names),
            fresh,
        )
    return len(gone) + len(fresh)


def _key(row: dict[str, Any], keys: Sequence[Column[Any]]) -> tuple[Any, ...]:
    return tuple(row[key.name] for key in keys)


def _portable(value: Any) -> Any:
    """A value as Postgres can keep it: no text of its has a NUL."""
    if isinstance(value, str) and "\x00" in value:
        return value.replace("\x00", "\ufffd")
    return bytes(value) if isinstance(value, memoryview) else value


def _verified(
    source: Database, target: Database, tables: Sequence[Table]
) -> tuple[dict[str, int], dict[str, int]]:
    """Count rows and add up money on both sides.

    Raises:
        NoriaError: they differ.
    """
    sides = []
    for db in (source, target):
        rows: dict[str, int] = {}
        sums: dict[str, int] = {}
        with db.read() as connection:
            for table in tables:
                money = [one for one in table.c if one.name.endswith("_nano")]
                query = select(func.count(), *(func.coalesce(func.sum(one), 0) for one in money))
                found = connection.execute(query.select_from(table)).one()
                rows[table.name] = int(found[0])
                for column, total in zip(money, found[1:], strict=True):
                    sums[f"{table.name}.{column.name}"] = int(total)
        sides.append((rows, sums))
    (rows, sums), (other_rows, other_sums) = sides
    differing = [name for name in rows if rows[name] != other_rows[name]]
    differing += [name for name in sums if sums[name] != other_sums[name]]
    if differing:
        raise NoriaError(
            f"After the copy the two databases differ in {', '.join(differing)}.",
            "Nothing was switched. Give the same command again.",
        )
    return rows, sums


def _finish(target: Database, tables: Sequence[Table]) -> None:
    """Let new rows have new numbers, and texts be indexed anew."""
    with target.write() as connection:
        for table in tables:
            column = table.autoincrement_column
            if column is None or not isinstance(column.type, (BigInteger, Integer)):
                continue
            sequence = connection.execute(
                text("SELECT pg_get_serial_sequence(:table, :column)"),
                {"table": f'"{table.name}"', "column": column.name},
            ).scalar()
            if sequence is not None:
                highest = connection.execute(select(func.max(column))).scalar()
                connection.execute(
                    text("SELECT setval(:sequence, :value, :called)"),
                    {"sequence": sequence, "value": highest or 1, "called": highest is not None},
                )
        connection.execute(delete(core.text_queue))
        connection.execute(
            text(
                "INSERT INTO text_queue (at) SELECT at FROM payloads"
                " WHERE at NOT IN (SELECT at FROM message_text)"
            )
        )
        _MARK.drop(connection)
