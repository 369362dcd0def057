"""Taking the journals in."""

from __future__ import annotations

import threading
from collections.abc import Callable

from noria.store.database import Database

__all__ = ["Intake", "take_in"]


class Intake:
    """Brings the records of this home's journals into the database, each once."""

    def __init__(self, db: Database, *, assemble: Callable[[bytes], bytes]) -> None:
        self.db = db
        self.assemble = assemble

    def take_in(self) -> int:
        """Take in all that is pending now and return the number of records."""
        raise NotImplementedError

    def run(self, stop: threading.Event) -> None:
        """Take in until `stop` is set."""
        raise NotImplementedError


def take_in(db: Database, assemble: Callable[[bytes], bytes]) -> int:
    """Take in all that is pending now and return the number of records."""
    return Intake(db, assemble=assemble).take_in()
