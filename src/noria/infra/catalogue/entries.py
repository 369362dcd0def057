"""Resources by name: what they are, where, whose, who may use them, and where their secret stands.

The secret itself is never kept: it is named by a reference, and read when a connection is made.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from noria.errors import ConfigError, NotFound
from noria.infra.deploying.wires import Reference
from noria.store import Database
from noria.store.tables.growth import resources

__all__ = [
    "KINDS",
    "Resource",
    "add_resource",
    "list_resources",
    "remove_resource",
    "test_resource",
]

KINDS = ("database", "store", "provider", "cluster", "registry")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_GROUP = re.compile(r"[^\s,]{1,100}|\*")


@dataclass(frozen=True, slots=True)
class Resource:
    """One entry."""

    name: str
    kind: str
    address: str
    secret: str | None
    """The reference of its secret, such as `env:NAME`."""
    owner: str
    grants: tuple[str, ...]
    """Groups that may use it; none: only its owner and administrators."""
    at: int
    tested_ns: int | None = None
    problem: str | None = None
    """"" where the last test succeeded, else what went wrong; None where there was none."""

    def usable_by(self, user: str | None, groups: Iterable[str]) -> bool:
        """Whether somebody may use it."""
        return "*" in self.grants or user == self.owner or bool(set(groups) & set(self.grants))


def add_resource(
    db: Database,
    name: str,
    kind: str,
    address: str,
    *,
    owner: str,
    secret: str | None = None,
    grants: Iterable[str] = (),
) -> Resource:
    """Put a resource into the catalogue.

    Args:
        db: the home's database.
        name: what it is called: a-z, 0-9 and -.
        kind: one of `KINDS`.
        address: its URL, without a password.
        owner: the user or team that answers for it.
        secret: the reference of its secret.
        grants: groups that may use it.

    Raises:
        ConfigError: a field cannot be used, or the name is taken.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"name: {name!r} cannot be used; write a-z, 0-9 and -.")
    if kind not in KINDS:
        raise ConfigError(f"kind: {kind!r} is none of {', '.join(KINDS)}.")
    check_address(address)
    if not owner.strip():
        raise ConfigError("owner: somebody has to answer for it.")
    if secret is not None:
        Reference.parse(secret, "secret")
    groups = tuple(sorted(set(grants)))
    for group in groups:
        if not _GROUP.fullmatch(group):
            raise ConfigError(f"grants: {group!r} cannot be a group.")
    made = Resource(name, kind, address, secret, owner, groups, time.time_ns())
    try:
        with db.write() as connection:
            connection.execute(
                insert(resources).values(
                    name=name, kind=kind, address=address, secret=secret, owner=owner,
                    grants=orjson.dumps(groups).decode(), at=made.at,
                )
            )  # fmt: skip
    except IntegrityError:
        raise ConfigError(
            f"There is a resource {name} already.", f"Remove it first: noria resource rm {name}"
        ) from None
    return made


def check_address(address: str) -> None:
    """Refuse an address that is none, or that holds a secret: it is shown to everybody.

    Raises:
        ConfigError: it is one of these. The address is not repeated.
    """
    try:
        parts = urlsplit(address)
        held = parts.password
    except ValueError:
        raise ConfigError("address: it is no URL.") from None
    if not parts.scheme or re.search(r"[\s\x00-\x1f]", address):
        raise ConfigError("address: it is no URL, such as postgresql://user@host/name.")
    told = r"(?i)(^|[?&;])[^=&]*(password|passwd|secret|token|api_?key|signature)[^=&]*="
    if held or re.search(told, f"?{parts.query}&{parts.fragment}"):
        raise ConfigError(
            "address: it holds a secret, and addresses are shown.",
            "Leave it out, and say where it stands: --secret env:NAME",
        )


def list_resources(db: Database) -> list[Resource]:
    """Every resource, by name."""
    with db.read() as connection:
        rows = connection.execute(select(resources).order_by(resources.c.name))
        return [_resource(row) for row in rows]


def find_resource(db: Database, name: str) -> Resource:
    """A resource by its name.

    Raises:
        NotFound: there is none.
    """
    with db.read() as connection:
        row = connection.execute(select(resources).where(resources.c.name == name)).first()
    if row is None:
        raise NotFound(f"There is no resource {name!r}.", "See: noria resource ls")
    return _resource(row)


def remove_resource(db: Database, name: str) -> None:
    """Take a resource out of the catalogue; what it stands for is left alone.

    Raises:
        NotFound: there is none.
    """
    with db.write() as connection:
        gone = connection.execute(delete(resources).where(resources.c.name == name))
        if gone.rowcount == 0:
            raise NotFound(f"There is no resource {name!r}.", "See: noria resource ls")


def test_resource(db: Database, name: str) -> Resource:
    """Connect to a resource with its secret, and note how it went.

    Raises:
        NotFound: there is none.
    """
    from noria.infra.catalogue.connecting import connect

    found = find_resource(db, name)
    problem = connect(found)
    changed = {"tested_ns": time.time_ns(), "problem": problem}
    with db.write() as connection:
        connection.execute(update(resources).where(resources.c.name == name).values(**changed))
    return find_resource(db, name)


def _resource(row: Any) -> Resource:
    return Resource(**(dict(row._mapping) | {"grants": tuple(orjson.loads(row.grants))}))
