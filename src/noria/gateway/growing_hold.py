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
from noria.http.sink import Flow

__all__ = ["MOST_AHEAD_TOKENS", "GrowingHold"]

MOST_AHEAD_TOKENS: Final = 64
"""So many tokens a provider may have written when a stream is cut that have not arrived here: what
is held covers them beyond all that has come. More than these, and no others, can be an overrun."""

_MOST_ASKED: Final = 3


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
        self._refused = False
        """Whether the store has said that the budget has no more."""

    def covers(self, length: int, flow: Flow, cut: Callable[[], None]) -> bool:
        """Take notice of so many further bytes of the stream, and hold more where that is due.

        Where the store must be asked first, the stream rests if all that is held may be written.

        Args:
            length: how many bytes have come.
            flow: lets the stream rest.
            cut: ends it, should the store then refuse.

        Returns: whether the stream may go on; False where the budget has no more.
        """
        self._since += length
        if self._written + self._since <= self._room - self._portion // 2:
            return True
        self._written, self._since = self._relay.most_tokens(), 0
        if self._written <= self._room - self._portion // 2:
            return True
        if self._grows() or self._covered >= self._hold.asked:
            return True
        if self._asking is None and not self._refused:
            self._asking = asyncio.ensure_future(self._ask())
        if self._written <= self._room:
            return True
        if self._refused:
            return False
        flow.pause()
        assert self._asking is not None
        self._asking.add_done_callback(lambda _: cut() if self._refused else flow.resume())
        return True

    @property
    def _room(self) -> int:
        """So many tokens may have come."""
        return self._covered * self._bound.choices - MOST_AHEAD_TOKENS

    def _next(self) -> tuple[int, int]:
        """What is to be covered next, as much as was written and another portion, and what that
        costs more."""
        written = -(-(self._written + MOST_AHEAD_TOKENS) // self._bound.choices)
        covered = min(max(self._covered, written) + self._portion, self._hold.asked)
        return covered, self._bound.amount(covered) - self._bound.amount(self._covered)

    def _grows(self) -> bool:
        """Hold more of what is leased. Tells whether there was enough."""
        covered, amount = self._next()
        if not self._leases.grow(self._hold, amount):
            return False
        self._covered = covered
        self._grown(amount)
        return True

    async def _ask(self) -> None:
        """Have the store grant more, and hold that."""
        try:
            for _ in range(_MOST_ASKED):  # meanwhile others may take it
                await self._leases.lease_more(self._hold, self._next()[1])
                if self._grows():
                    return
        except ApiError:
            pass
        finally:
            self._asking = None
        self._refused = True
