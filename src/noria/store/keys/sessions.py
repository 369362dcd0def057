"""How a browser signs in: one-time links and session cookies, kept as digests, that expire."""

from __future__ import annotations

import secrets
import time

from sqlalchemy import Table, delete, insert, select

from noria.store.database import Database
from noria.store.keys.key import Key
from noria.store.keys.keys import digest, find
from noria.store.tables.core import keys, sessions, sign_in_links

__all__ = ["end_session", "find_session", "new_link", "redeem_link", "sign_in"]

SESSION_SECONDS = 7 * 24 * 3600


def new_link(db: Database, key_id: str, ttl_s: float = 600) -> str:
    """A token that signs a browser in as the key, once, within `ttl_s` seconds."""
    return _new(db, sign_in_links, key_id, ttl_s)


def redeem_link(db: Database, token: str) -> str | None:
    """Trade a link's token for a session's secret; None if it was used or has expired."""
    with db.write() as connection:
        found = connection.execute(
            delete(sign_in_links)
            .where(sign_in_links.c.digest == digest(token))
            .returning(sign_in_links.c.key_id, sign_in_links.c.expires_ns)
        ).one_or_none()
        connection.execute(delete(sign_in_links).where(sign_in_links.c.expires_ns < time.time_ns()))
    if found is None or found.expires_ns < time.time_ns():
        return None
    return sign_in(db, found.key_id)


def sign_in(db: Database, key_id: str) -> str:
    """Begin a session of the key and return the secret for its cookie."""
    return _new(db, sessions, key_id, SESSION_SECONDS)


def find_session(db: Database, secret: str) -> Key | None:
    """The key that a session stands for; None if it ended or its key was revoked."""
    with db.read() as connection:
        return find(
            connection,
            keys.c.revoked_ns.is_(None)
            & keys.c.id.in_(
                select(sessions.c.key_id).where(
                    sessions.c.digest == digest(secret), sessions.c.expires_ns > time.time_ns()
                )
            ),
        )


def end_session(db: Database, secret: str) -> None:
    """Sign out. Nothing happens if there is no such session."""
    with db.write() as connection:
        connection.execute(delete(sessions).where(sessions.c.digest == digest(secret)))
        connection.execute(delete(sessions).where(sessions.c.expires_ns < time.time_ns()))


def _new(db: Database, table: Table, key_id: str, ttl_s: float) -> str:
    secret = secrets.token_urlsafe(32)
    expires = time.time_ns() + int(ttl_s * 1e9)
    with db.write() as connection:
        connection.execute(
            insert(table).values(digest=digest(secret), key_id=key_id, expires_ns=expires)
        )
    return secret
