"""One server for all tests of what may cross and what may not."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from noria.store import list_keys, revoke_key
from noria.types import EVERY_GROUP, Label
from tests.governance.asking import World
from tests.governance.support import LEDGER, PEOPLE, applications, providers, write_papers
from tests.support.door import Door


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server of two workers with two files of applications."""
    environ = pytest.MonkeyPatch()
    environ.setenv("LEDGER", LEDGER.canary)  # which the server's processes inherit
    for running in providers():
        folder = tmp_path_factory.mktemp("doors")
        write_papers(folder)
        settings = running.settings() + '[arena]\ncontestants = ["desk", "desk@inner"]\n'
        door = Door(
            folder, running.by_name["open"], settings, workers=2, apps=applications()
        ).start()
        try:
            with httpx2.Client(base_url=door.url, timeout=60) as client:
                yield World(door, running, dict(_keys(door)), client)
        finally:
            door.stop()
            environ.undo()


def _keys(door: Door) -> Iterator[tuple[str, str | None]]:
    for person in PEOPLE:
        yield (
            person.name,
            door.key(
                name=person.name,
                groups=person.groups,
                clearance=person.clearance,
                admin=person.admin,
            ),
        )
    yield "no key", None
    yield "wrong key", "noria-of-nobody"
    secret = door.key(name="revoked", groups=[EVERY_GROUP], clearance=Label.RESTRICTED)
    with door.database() as db:
        revoke_key(db, next(key.id for key in list_keys(db) if key.name == "revoked"))
    yield "revoked key", secret
