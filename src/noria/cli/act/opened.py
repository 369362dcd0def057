"""A home as the verbs of `noria act` use it: its catalogue, its runs, and who asks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from noria.cli._io.home import Home, open_home
from noria.errors import NoriaError

if TYPE_CHECKING:
    from noria.actions.desk import Desk
    from noria.actions.plans.person import Person
    from noria.actions.plans.store import StoredPlan
    from noria.actions.running.environment import Environment
    from noria.actions.running.runner import Runner
    from noria.store import Key

__all__ = ["Opened", "opened"]


@dataclass(frozen=True, slots=True)
class Opened:
    """What a verb works with."""

    home: Home
    key: Key
    person: Person
    desk: Desk
    environment: Environment
    runner: Runner

    def plan(self, name: str) -> StoredPlan:
        """A plan by its id, its hash or `ID.NUMBER`."""
        from noria.actions.plans.store import find_plan

        return find_plan(self.home.db, name)


@contextlib.contextmanager
def opened() -> Iterator[Opened]:
    """The home of the working folder. Whoever asks is known by `NORIA_KEY`, or owns the home.

    Raises:
        NoriaError: `NORIA_KEY` is no key of this home.
    """
    from noria.actions.opening import open_desk
    from noria.actions.plans.person import Person
    from noria.actions.running.runner import Runner
    from noria.store import digest, find_key, owner_key

    with open_home() as home:
        secret = os.environ.get("NORIA_KEY")
        secret = secret or owner_key(home.config.home, home.db).read_text().strip()
        key = find_key(home.db, digest(secret))
        if key is None or key.revoked_ns is not None:
            raise NoriaError(
                "NORIA_KEY is not a key of this home.",
                "Unset it to act as the home's owner, or make a key: noria key create",
            )
        desk = open_desk(home.config, home.db)
        environment = desk.environment
        yield Opened(home, key, Person.of(key), desk, environment, Runner(environment))
