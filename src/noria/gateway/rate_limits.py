"""Rate and concurrency limits of keys and targets.

The counts stand in memory that all workers of a home share: each worker writes only its own row
and adds up everybody's, so nothing is locked and a limit holds for all of them together (two
workers deciding in the same microsecond may pass it by one). A minute is a sliding one: the
present minute's count and the share of the previous that still lies within sixty seconds.
"""

from __future__ import annotations

import mmap
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

from noria.errors import ApiError
from noria.http.sink import Headers
from noria.models import Target
from noria.store import Key

__all__ = ["Limits", "Quota", "RateSlot"]

_FIELDS: Final = 6
_RUNNING, _MINUTE, _REQUESTS, _TOKENS, _REQUESTS_BEFORE, _TOKENS_BEFORE = range(_FIELDS)


@dataclass(slots=True)
class Quota:
    """Who is limited, and to what. A limit of `None` is none."""

    slot: int
    who: str
    concurrency: int | None = None
    rpm: int | None = None
    tpm: int | None = None

    @classmethod
    def of_key(cls, key: Key) -> Quota | None:
        """A key's own limits, None where it has none. Keys have the even slots."""
        if key.concurrency is None and key.rpm is None and key.tpm is None:
            return None
        return cls(key.serial * 2, "This key", key.concurrency, key.rpm, key.tpm)

    @classmethod
    def of_target(cls, target: Target) -> Quota | None:
        """What a provider can take, None where it takes all. Targets have the odd slots."""
        if target.concurrency is None and target.rpm is None:
            return None
        slot = crc32(target.name.encode()) * 2 + 1
        return cls(slot, target.name, target.concurrency, target.rpm)


@dataclass(slots=True)
class RateSlot:
    """A call that was counted in, to be counted out once."""

    limits: Limits
    quota: Quota
    estimate: int
    within: bool
    is_in: bool = True

    def out(self, tokens: int) -> None:
        """Count it out; it has used so many tokens."""
        if not self.is_in:
            return
        self.is_in = False
        if self.within:
            self.limits.add_tokens(self.quota, tokens)
        else:
            self.limits.leave(self.quota, max(tokens - self.estimate, -self.estimate))


class Limits:
    """One worker's view of the shared counts.

    Args:
        home: the state folder.
        worker: this worker's number, from 0.
        workers: how many there are.
        slots: how many keys and targets have counts of their own; more share them.
    """

    def __init__(self, home: Path, worker: int, workers: int, slots: int = 131072) -> None:
        path = home / "limits"
        size = workers * slots * _FIELDS * 8
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(fd).st_size < size:
                os.ftruncate(fd, size)
            self._map = mmap.mmap(fd, size)
        finally:
            os.close(fd)
        self._counts = memoryview(self._map).cast("q")
        self._slots = slots
        self._own = worker * slots * _FIELDS
        self._workers = workers

    def clear(self) -> None:
        """Forget what an earlier worker of this number had running."""
        for slot in range(self._slots):
            place = self._own + slot * _FIELDS + _RUNNING
            if self._counts[place]:
                self._counts[place] = 0

    def count_in(self, quota: Quota, tokens: int, *, within: bool = False) -> RateSlot:
        """Count a call in, for it to count itself out.

        Args:
            quota: whose limits are to be kept.
            tokens: an estimate of the prompt's tokens.
            within: it is a part of what was counted in already, so only its tokens count.

        Raises:
            ApiError: as in `enter`.
        """
        if not within:
            self.enter(quota, tokens)
        return RateSlot(self, quota, tokens, within)

    def enter(self, quota: Quota, tokens: int) -> None:
        """Count a call in.

        Args:
            quota: whose limits are to be kept.
            tokens: an estimate of the prompt's tokens.

        Raises:
            ApiError: 429 with `Retry-After`, and nothing was counted.
        """
        slot, who = quota.slot % self._slots, quota.who
        if quota.concurrency is not None and self._sum(slot, _RUNNING) >= quota.concurrency:
            raise _too_many(
                "concurrency_limit",
                f"{who} may run {quota.concurrency} calls at a time, and that many are running.",
                1,
            )
        now = time.time()
        minute, passed = int(now // 60), now % 60 / 60
        if quota.rpm is not None:
            used = self._in_minute(slot, minute, passed, _REQUESTS, _REQUESTS_BEFORE)
            if used + 1 > quota.rpm:
                raise _too_many(
                    "rate_limit_requests",
                    f"{who} may make {quota.rpm} requests a minute.",
                    _wait(passed),
                )
        if quota.tpm is not None:
            used = self._in_minute(slot, minute, passed, _TOKENS, _TOKENS_BEFORE)
            if used + tokens > quota.tpm:
                raise _too_many(
                    "rate_limit_tokens",
                    f"{who} may use {quota.tpm} tokens a minute.",
                    _wait(passed),
                )
        own = self._turn(slot, minute)
        self._counts[own + _RUNNING] += 1
        self._counts[own + _REQUESTS] += 1
        self._counts[own + _TOKENS] += tokens

    def left(self, quota: Quota) -> Headers:
        """What a key's limits leave it at present, as OpenAI says it in an answer's head."""
        slot = quota.slot % self._slots
        now = time.time()
        minute, passed = int(now // 60), now % 60 / 60
        headers: Headers = []
        for name, limit, present, before in (
            (b"requests", quota.rpm, _REQUESTS, _REQUESTS_BEFORE),
            (b"tokens", quota.tpm, _TOKENS, _TOKENS_BEFORE),
        ):
            if limit is not None:
                used = self._in_minute(slot, minute, passed, present, before)
                remaining = max(0, int(limit - used))
                headers += (
                    (b"x-ratelimit-limit-" + name, b"%d" % limit),
                    (b"x-ratelimit-remaining-" + name, b"%d" % remaining),
                    (b"x-ratelimit-reset-" + name, b"%ds" % (_wait(passed) if used else 0)),
                )
        return headers

    def leave(self, quota: Quota, more_tokens: int) -> None:
        """Count a call out; `more_tokens` were used beyond the estimate."""
        own = self._turn(quota.slot % self._slots, int(time.time() // 60))
        self._counts[own + _RUNNING] -= 1
        self._counts[own + _TOKENS] += more_tokens

    def add_tokens(self, quota: Quota, tokens: int) -> None:
        """Count tokens that a call used which was not counted in itself."""
        own = self._turn(quota.slot % self._slots, int(time.time() // 60))
        self._counts[own + _TOKENS] += tokens

    def _turn(self, slot: int, minute: int) -> int:
        """Bring this worker's row to the present minute; gives its place."""
        own = self._own + slot * _FIELDS
        counts = self._counts
        last = counts[own + _MINUTE]
        if last != minute:
            follows = last == minute - 1
            counts[own + _REQUESTS_BEFORE] = counts[own + _REQUESTS] if follows else 0
            counts[own + _TOKENS_BEFORE] = counts[own + _TOKENS] if follows else 0
            counts[own + _REQUESTS] = counts[own + _TOKENS] = 0
            counts[own + _MINUTE] = minute
        return own

    def _sum(self, slot: int, field: int) -> int:
        step, place = self._slots * _FIELDS, slot * _FIELDS + field
        return sum(self._counts[worker * step + place] for worker in range(self._workers))

    def _in_minute(self, slot: int, minute: int, passed: float, now: int, before: int) -> float:
        counts, step = self._counts, self._slots * _FIELDS
        total = 0.0
        for worker in range(self._workers):
            row = worker * step + slot * _FIELDS
            age = minute - counts[row + _MINUTE]
            if age == 0:
                total += counts[row + now] + counts[row + before] * (1 - passed)
            elif age == 1:
                total += counts[row + now] * (1 - passed)
        return total


def _wait(passed: float) -> int:
    return max(1, round((1 - passed) * 60))


def _too_many(code: str, message: str, retry_after: int) -> ApiError:
    return ApiError(429, code, message, retry_after=retry_after)
