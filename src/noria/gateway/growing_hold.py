"""The hold of a stream that grows while its reply is written.

Few replies are as long as their limit. So the hold of a stream pays for a portion of it, and for
another one before that is used up. What has been written is counted by its bytes, of which each
token has at least one; so far ahead of what has come may a provider be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from noria.errors import ApiError
from noria.gateway.budgets import BudgetLeases
from noria.gateway.reservation import CostBound, Hold
from noria.gateway.stream import StreamRelay

__all__ = ["MOST_AHEAD_TOKENS", "GrowingHold"]

MOST_AHEAD_TOKENS: Final = 64
"""So many tokens a provider may have written when a stream is cut that have not arrived here: what
is held covers them beyond all that has come. More than these, and no others, can be an overrun."""


class GrowingHold:
    """What is held for one stream.

    Args:
        leases: where money is set aside.
        hold: the hold that the stream began with.
        bound: what the call could cost.
        relay: the stream.
        grown: is told of each amount that is added, in nano-dollars.
    """

    def __init__(
        self,
        leases: BudgetLeases,
        hold: Hold,
        bound: CostBound,
        relay: StreamRelay,
        grown: Callable[[int], None],
    ) -> None:
        self._leases = leases
        self._hold = hold
        self._bound = bound
        self._relay = relay
        self._grown = grown
        self._portion = hold.limit
        self._covered = hold.limit
        """Tokens of each choice that the hold pays for."""
        self._written = 0
        """The most tokens that were written when they were last counted."""
        self._since = 0
        """Bytes of the stream that have come since."""
        self._asking: asyncio.Task[None] | None = None

    def covers(self, length: int) -> bool:
        """Take notice of so many further bytes of the stream, and hold more where that is due.

        Returns: whether all that can have been written is paid for; else the stream must end.
        """
        self._since += length
        room = self._covered * self._bound.choices - MOST_AHEAD_TOKENS
        if self._written + self._since <= room - self._portion // 2:
            return True
        self._written, self._since = self._relay.most_tokens(), 0
        if self._written > room - self._portion // 2 and self._covered < self._hold.asked:
            self._grow()
            room = self._covered * self._bound.choices - MOST_AHEAD_TOKENS
        return self._covered >= self._hold.asked or self._written <= room

    def _grow(self) -> None:
        """Hold another portion: of what is leased, else as soon as the store has granted it."""
        covered = min(self._covered + self._portion, self._hold.asked)
        amount = self._bound.amount(covered) - self._bound.amount(self._covered)
        if self._leases.grow(self._hold, amount):
            self._covered = covered
            self._grown(amount)
        elif self._asking is None:
            self._asking = asyncio.ensure_future(self._ask(amount))

    async def _ask(self, amount: int) -> None:
        try:
            await self._leases.lease_more(self._hold, amount)
        except ApiError:
            return  # It is asked once: what is refused then has no more of the budget.
        self._asking = None
