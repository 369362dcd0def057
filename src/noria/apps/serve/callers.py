"""Whose run it is: a caller's key by its id, or that of an application which runs by itself."""

from __future__ import annotations

import asyncio
import time

from noria.errors import ApiError, NotFound, StoreUnavailable
from noria.store import Database, Generation, Key
from noria.types import EVERY_GROUP, Label

__all__ = ["CallerKeys", "system_key"]

_SYSTEM = "system:"


def system_key(app: str) -> Key:
    """The key under which an application does what nobody asked for: its scheduled tasks, its
    indexing. It sees everything, as the application itself does; the record says that it was it.
    """
    return Key(
        id=f"{_SYSTEM}{app}",
        serial=0,
        name=f"the application {app} by itself",
        hint="",
        team=None,
        user=None,
        admin=False,
        models=None,
        rpm=None,
        tpm=None,
        concurrency=None,
        groups=frozenset((EVERY_GROUP,)),
        clearance=Label.RESTRICTED,
        record_content=True,
        budget=None,
        created_ns=time.time_ns(),
        revoked_ns=None,
    )


class CallerKeys:
    """The keys behind the calls that the doors send, remembered until any key changes."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._generation = Generation(db.home)
        self._seen = self._generation.value
        self._keys: dict[str, Key] = {}

    async def find(self, key_id: str) -> Key:
        """The key of this id.

        Raises:
            ApiError: 401 when it is gone or revoked, 503 when the store does not answer.
        """
        from noria.store import find_key_by_id

        if key_id.startswith(_SYSTEM):
            return system_key(key_id.removeprefix(_SYSTEM))
        generation = self._generation.value
        if generation != self._seen:
            self._keys.clear()
            self._seen = generation
        key = self._keys.get(key_id)
        if key is None:
            try:
                key = await asyncio.to_thread(find_key_by_id, self._db, key_id)
            except NotFound:
                raise ApiError(401, "invalid_api_key", "This API key is unknown.") from None
            except StoreUnavailable as away:
                raise ApiError(
                    503, "store_unavailable",
                    f"The key cannot be checked: {away.message}", retry_after=2,
                ) from None  # fmt: skip
            if generation == self._seen:
                self._keys[key_id] = key
        if key.revoked_ns is not None:
            raise ApiError(401, "revoked_api_key", f"The key {key.id} was revoked.")
        return key
