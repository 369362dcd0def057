"""The desk of a home: its catalogue, its providers and its settings put together."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from noria.actions.catalogue import Catalogue, CatalogueStore
from noria.actions.catalogue.store import open_meaning
from noria.actions.desk import Desk
from noria.actions.running.opening import open_environment

if TYPE_CHECKING:
    from noria.config import Config
    from noria.store import Database

__all__ = ["desk_of", "open_desk"]


def open_desk(config: Config, db: Database) -> Desk:
    """The desk of a home whose database is open, with its catalogue as it is now."""
    from noria.models.chunks import assemble
    from noria.store import take_in

    parts = CatalogueStore(config.home).parts()
    environment = open_environment(config, db, Catalogue(parts), lambda: take_in(db, assemble))
    return Desk(environment, parts, open_meaning(config.home))


@dataclass(slots=True)
class _Opened:
    db: Database
    desk: Desk
    stamp: list[tuple[str, int, int]]


_lock = threading.Lock()
_opened: dict[tuple[Path, str], _Opened] = {}


def desk_of(config: Config) -> Desk:
    """The desk of a home, with one database for this process. A catalogue that was added, changed
    or removed meanwhile is read again."""
    at = (config.home, str(config.store_url))
    stamp = _stamp(config.home)
    with _lock:
        found = _opened.get(at)
        if found is None:
            from noria.store import Database

            db = Database(config.store_url, config.home, sync=config.journal.sync)
            found = _opened[at] = _Opened(db, open_desk(config, db), stamp)
        elif found.stamp != stamp:
            found.desk, found.stamp = open_desk(config, found.db), stamp
        return found.desk


def _stamp(home: Path) -> list[tuple[str, int, int]]:
    """What tells one state of the stored catalogues from another."""
    files = sorted((home / "catalogues").glob("*.json"))
    return [(file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files]
