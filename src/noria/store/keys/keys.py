"""Who may come in: keys, kept as SHA-256 digests and shown once."""

from __future__ import annotations

import difflib
import hashlib
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Row, and_, insert, select, update

from noria.errors import NoriaError, NotFound
from noria.ids import new_span_id
from noria.store.budgets.budgets import budget_of, ensure_named, put_budget
from noria.store.database import Database
from noria.store.generation import changing
from noria.store.keys.key import Key
from noria.store.tables.core import budgets, keys, teams, users
from noria.types import Budget, Label, Subject

__all__ = [
    "create_key",
    "digest",
    "find_key",
    "find_key_by_id",
    "list_keys",
    "revoke_key",
]


def digest(secret: str | bytes) -> bytes:
    """What is kept of a secret: its SHA-256, which is enough since secrets are random."""
    return hashlib.sha256(secret.encode() if isinstance(secret, str) else secret).digest()


def create_key(
    db: Database,
    *,
    team: str | None = None,
    user: str | None = None,
    budget: Budget | None = None,
    models: Sequence[str] | None = None,
    rpm: int | None = None,
    tpm: int | None = None,
    concurrency: int | None = None,
    admin: bool = False,
    secret: str | None = None,
    groups: Iterable[str] = (),
    clearance: Label = Label.PUBLIC,
    record_content: bool = True,
    name: str | None = None,
) -> tuple[Key, str]:
    """Make a key and return it with its secret, which cannot be had again.

    A team or user that is missing is made.

    Raises:
        NoriaError: `secret` is that of another key.
    """
    secret = secret or f"noria-{secrets.token_urlsafe(32)}"
    key_id = f"key_{new_span_id()}"
    with changing(db) as connection:
        if find(connection, keys.c.digest == digest(secret)) is not None:
            raise NoriaError(
                "There is already a key with this secret.", "Choose another secret for the new key."
            )
        for table, group in ((teams, team), (users, user)):
            if group is not None:
                ensure_named(connection, table, group)
        connection.execute(
            insert(keys).values(
                id=key_id,
                digest=digest(secret),
                name=name,
                hint=secret[-4:],
                team=team,
                user=user,
                admin=admin,
                models=None if models is None else orjson.dumps(list(models)).decode(),
                rpm=rpm,
                tpm=tpm,
                concurrency=concurrency,
                groups=orjson.dumps(sorted(groups)).decode(),
                clearance=int(clearance),
                record_content=record_content,
                created_ns=time.time_ns(),
            )
        )
        if budget is not None:
            put_budget(connection, Subject.KEY, key_id, budget, from_file=False, unused=True)
        key = find(connection, keys.c.id == key_id)
    assert key is not None
    return key, secret


def find_key(db: Database, key_digest: bytes) -> Key | None:
    """The key whose secret has this digest; a revoked one too, with its `revoked_ns`."""
    with db.read() as connection:
        return find(connection, keys.c.digest == key_digest)


def find_key_by_id(db: Database, key_id: str) -> Key:
    """The key with this id.

    Raises:
        NotFound: there is none; names the near ones.
    """
    with db.read() as connection:
        return _must_find(connection, key_id)


def list_keys(db: Database) -> list[Key]:
    """All keys, the oldest first, revoked ones too."""
    with db.read() as connection:
        return [_key(row) for row in connection.execute(_SELECT.order_by(keys.c.serial))]


def revoke_key(db: Database, key_id: str) -> Key:
    """End a key for good; one that is revoked already stays as it is.

    Raises:
        NotFound: there is none with this id; names the near ones.
    """
    with changing(db) as connection:
        _must_find(connection, key_id)
        connection.execute(
            update(keys)
            .where(keys.c.id == key_id, keys.c.revoked_ns.is_(None))
            .values(revoked_ns=time.time_ns())
        )
        return _must_find(connection, key_id)


_SELECT = select(
    keys, budgets.c.limit_nano, budgets.c.window
).outerjoin(
    budgets, and_(budgets.c.subject == str(Subject.KEY), budgets.c.name == keys.c.id)
)  # fmt: skip


def find(connection: Connection, condition: Any) -> Key | None:
    """The one key that meets the condition."""
    row = connection.execute(_SELECT.where(condition)).one_or_none()
    return None if row is None else _key(row)


def _must_find(connection: Connection, key_id: str) -> Key:
    key = find(connection, keys.c.id == key_id)
    if key is None:
        every = connection.execute(select(keys.c.id).order_by(keys.c.serial.desc()).limit(10_000))
        near = difflib.get_close_matches(key_id, list(every.scalars()), n=3)
        hint = f"Did you mean {', '.join(near)}?" if near else "`noria key ls` lists them all."
        raise NotFound(f"There is no key {key_id}.", hint)
    return key


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        serial=row.serial,
        name=row.name,
        hint=row.hint,
        team=row.team,
        user=row.user,
        admin=row.admin,
        models=None if row.models is None else tuple(orjson.loads(row.models)),
        rpm=row.rpm,
        tpm=row.tpm,
        concurrency=row.concurrency,
        groups=frozenset(orjson.loads(row.groups)),
        clearance=Label(row.clearance),
        record_content=row.record_content,
        budget=budget_of(row),
        created_ns=row.created_ns,
        revoked_ns=row.revoked_ns,
    )
