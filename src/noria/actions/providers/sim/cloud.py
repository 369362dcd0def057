"""The state of the simulated cloud, in a file of its own, which outlives whoever calls it.

Each call is one transaction, so that a caller who is killed leaves a call done or not done, as a
real cloud does. What runs is metered here, by nobody but the cloud itself.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Cloud"]

_TABLES = """
CREATE TABLE IF NOT EXISTS things (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, region TEXT NOT NULL, type TEXT NOT NULL,
    tags TEXT NOT NULL, label TEXT NOT NULL, price_nano INTEGER NOT NULL, begun_ns INTEGER NOT NULL,
    seen_ns INTEGER NOT NULL, runs_ns INTEGER NOT NULL, ended_ns INTEGER
);
CREATE INDEX IF NOT EXISTS things_ended ON things (ended_ns);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS prices (
    region TEXT, type TEXT, nano INTEGER, PRIMARY KEY (region, type)
);
CREATE TABLE IF NOT EXISTS closed (region TEXT, type TEXT, PRIMARY KEY (region, type));
"""
_SECOND = 1_000_000_000
_SHOWN_S = 3600
"""For how long what has ended can still be seen."""


class Cloud:
    """Machines and buckets that are not there.

    Args:
        path: its file; `:memory:` for one that ends with this object.
        clock: its own time in UTC nanoseconds, which may be another than the caller's.
    """

    def __init__(self, path: Path | str, clock: Callable[[], int] = time.time_ns) -> None:
        self.clock = clock
        self._mutex = threading.Lock()
        self._database = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=30
        )
        self._database.row_factory = sqlite3.Row
        if path != ":memory:":
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(_TABLES)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One call of the cloud: all of it happens, or nothing."""
        with self._mutex:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def count(self, name: str) -> int:
        """The next number of a counter, from 0."""
        with self.transaction() as at:
            row = at.execute(
                "INSERT INTO counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE"
                " SET value = value + 1 RETURNING value",
                (name,),
            ).fetchone()
        return int(row[0]) - 1

    def make(
        self,
        kind: str,
        region: str,
        type_: str,
        tags: Mapping[str, str],
        *,
        number: int,
        price_nano: int = 0,
        label: str = "",
        seen_after_s: float = 0.0,
        runs_after_s: float = 0.0,
        room: Callable[[sqlite3.Connection], int] | None = None,
    ) -> list[str]:
        """Make things that are alike; fewer, where `room` says that there is less room."""
        now = self.clock()
        with self.transaction() as at:
            if room is not None:
                number = min(number, room(at))
            first = at.execute("SELECT count(*) FROM things").fetchone()[0]
            ids = [f"{kind[:1]}-{first + place:06}" for place in range(number)]
            at.executemany(
                "INSERT INTO things VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                [
                    (
                        id_, kind, region, type_, json.dumps(dict(tags)), label, price_nano, now,
                        now + int(seen_after_s * _SECOND), now + int(runs_after_s * _SECOND),
                    )
                    for id_ in ids
                ],
            )  # fmt: skip
        return ids

    def end(self, id_: str) -> bool:
        """End a thing; False if there is none that has not ended."""
        with self.transaction() as at:
            ended = at.execute(
                "UPDATE things SET ended_ns = ? WHERE id = ? AND ended_ns IS NULL",
                (self.clock(), id_),
            )
        return ended.rowcount == 1

    def relabel(self, id_: str, label: str) -> str | None:
        """Write a label; the one before, or None where there is no such thing."""
        with self.transaction() as at:
            row = at.execute(
                "SELECT label FROM things WHERE id = ? AND ended_ns IS NULL", (id_,)
            ).fetchone()
            if row is None:
                return None
            at.execute("UPDATE things SET label = ? WHERE id = ?", (label, id_))
        return str(row["label"])

    def seen(self, *, everything: bool = False) -> list[dict[str, Any]]:
        """The things that can be seen by now, those too that have ended within the last hour; with
        `everything`, all that ever were."""
        where = "" if everything else "WHERE seen_ns <= ? AND (ended_ns IS NULL OR ended_ns > ?)"
        now = self.clock()
        with self._mutex:
            rows = self._database.execute(
                f"SELECT * FROM things {where} ORDER BY id",  # noqa: S608 - one of two texts
                () if everything else (now, now - _SHOWN_S * _SECOND),
            ).fetchall()
        return [dict(row) | {"tags": json.loads(row["tags"])} for row in rows]

    def reprice(self, region: str, type_: str, nano: int | None) -> None:
        """Change a price from now on; None closes the offer."""
        with self.transaction() as at:
            if nano is None:
                at.execute("INSERT OR REPLACE INTO closed VALUES (?, ?)", (region, type_))
            else:
                at.execute("INSERT OR REPLACE INTO prices VALUES (?, ?, ?)", (region, type_, nano))

    def prices(self) -> tuple[dict[tuple[str, str], int], set[tuple[str, str]]]:
        """The prices that were changed, and the offers that are closed."""
        with self._mutex:
            changed = self._database.execute("SELECT * FROM prices").fetchall()
            closed = self._database.execute("SELECT * FROM closed").fetchall()
        return {(row[0], row[1]): row[2] for row in changed}, {(row[0], row[1]) for row in closed}

    def bill(self, plan: str | None = None) -> int:
        """What everything has cost until now, or what one plan's things have, in nano-dollars.

        Each second that has begun is billed, a minute at least.
        """
        now, total = self.clock(), 0
        for thing in self.seen(everything=True):
            if plan is not None and thing["tags"].get("noria:plan") != plan:
                continue
            if not thing["price_nano"]:
                continue
            end = now if thing["ended_ns"] is None else thing["ended_ns"]
            whole, rest = divmod(end - thing["begun_ns"], _SECOND)
            seconds = max(60, whole + (1 if rest else 0))
            dues, over = divmod(thing["price_nano"] * seconds, 3600)
            total += dues + (1 if over else 0)
        return int(total)
