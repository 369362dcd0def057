"""The state folder, as the verbs use it: the one place where they open it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noria.config import Config
    from noria.store import Database

__all__ = ["Home", "open_home"]


@dataclass(frozen=True, slots=True)
class Home:
    """A configuration and the database that belongs to it."""

    config: Config
    db: Database

    def take_in(self) -> int:
        """Take in what the journals hold, so that a call that has just ended shows.

        Returns:
            The number of records taken in.
        """
        from noria.models.chunks import assemble
        from noria.store import take_in

        return take_in(self.db, assemble)


@contextlib.contextmanager
def open_home(config: Config | None = None) -> Iterator[Home]:
    """The home that belongs to the working folder. Whoever reads records takes in first.

    Works beside a running server too, which sees what is changed at once.

    Raises:
        ConfigError: a setting cannot be used.
        StoreUnavailable: the database cannot be reached.
    """
    from noria.config import load
    from noria.store import open_database

    config = config or load()
    home = Home(config, open_database(config))
    try:
        yield home
    finally:
        home.db.close()
