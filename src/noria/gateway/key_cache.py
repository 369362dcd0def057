"""Who is calling: keys and sessions, looked up once and then remembered.

A change of any key raises the home's generation, a number in shared memory; each request
compares it, so that a new key works and a revoked one stops at once. With the database away,
what is remembered goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Final

from noria.errors import ApiError, StoreUnavailable
from noria.store import Database, Generation, Key, digest, find_key, find_session

__all__ = ["KeyCache"]

_REMEMBER_SECONDS: Final = 30.0
_UNKNOWN_SECONDS: Final = 1.0
_MOST_REMEMBERED: Final = 100_000


class KeyCache:
    """The keys that this process has met."""

    def __init__(self, db: Database, generation: Generation) -> None:
        self._db = db
        self._generation = generation
        self._seen = generation.value
        self._keys: dict[bytes, tuple[Key | None, float]] = {}
        self._asking: dict[tuple[bytes, int], asyncio.Future[Key | None]] = {}

    def recall(self, credential: bytes) -> Key | None:
        """The key of an `Authorization` header, if it is remembered and still good."""
        found = self._keys.get(_digest(credential))
        if found is None or self._generation.value != self._seen or found[1] < time.monotonic():
            return None
        key = found[0]
        return None if key is None or key.revoked_ns is not None else key

    async def look_up(self, credential: bytes | None) -> Key:
        """The key of an `Authorization` header, asking the store.

        Raises:
            ApiError: 401 when there is no such key, or it was revoked; 503 when the store
                cannot be asked and the key is not remembered.
        """
        if credential is None:
            raise ApiError(
                401, "missing_api_key",
                "No API key: send it as 'Authorization: Bearer KEY', or in x-api-key or api-key.",
            )  # fmt: skip
        scheme, _, secret = credential.partition(b" ")
        if scheme.lower() != b"bearer" or not secret.strip():
            raise ApiError(401, "invalid_api_key", "The Authorization header must be 'Bearer KEY'.")
        secret = secret.strip()
        return await self._look_up(
            _digest(credential),
            lambda: find_key(self._db, digest(secret)),
        )

    async def look_up_session(self, secret: str) -> Key:
        """The key that a browser's session stands for.

        Raises:
            ApiError: 401 when the session is unknown or over; 503 as in `look_up`.
        """
        return await self._look_up(
            _digest(b"session " + secret.encode()),
            lambda: find_session(self._db, secret),
        )

    async def _ask_once(self, known_by: bytes, find: Callable[[], Key | None]) -> Key | None:
        """Ask the store; callers who come meanwhile with the same key share the answer."""
        # An answer that was asked for before a change must not serve those who come after it.
        question = (known_by, self._seen)
        asking = self._asking.get(question)
        if asking is None:
            asking = asyncio.ensure_future(asyncio.to_thread(find))
            self._asking[question] = asking
            asking.add_done_callback(lambda _: self._asking.pop(question, None))
        return await asyncio.shield(asking)

    async def _look_up(self, known_by: bytes, find: Callable[[], Key | None]) -> Key:
        now = time.monotonic()
        generation = self._generation.value
        if generation != self._seen:
            # Everything must be asked for again, but stays at hand in case nobody answers.
            self._keys = {known: (key, 0.0) for known, (key, _) in self._keys.items() if key}
            self._seen = generation
        remembered = self._keys.get(known_by)
        if remembered is not None and remembered[1] > now:
            key = remembered[0]
        else:
            try:
                key = await self._ask_once(known_by, find)
            except StoreUnavailable:
                if remembered is None or remembered[0] is None:
                    raise ApiError(
                        503, "store_unavailable",
                        "The key cannot be checked: the database does not answer. Try again.",
                        retry_after=2,
                    ) from None  # fmt: skip
                key = remembered[0]
            if len(self._keys) >= _MOST_REMEMBERED:
                self._keys.clear()
            keep = _REMEMBER_SECONDS if key is not None else _UNKNOWN_SECONDS
            self._keys[known_by] = (key, now + keep)
        if key is None:
            raise ApiError(401, "invalid_api_key", "This API key is unknown. Check the key.")
        if key.revoked_ns is not None:
            raise ApiError(401, "revoked_api_key", f"The key {key.id} was revoked.")
        return key


def _digest(credential: bytes) -> bytes:
    """What a credential is remembered by in this process: half the time of the store's SHA-256."""
    return hashlib.blake2s(credential).digest()
