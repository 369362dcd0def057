"""Money in the memory of one process: what a call may cost, and where that is set aside."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from noria.errors import ApiError
from noria.models import Price
from noria.store import BudgetRow

__all__ = ["SHORT_REPLY_TOKENS", "CostBound", "Hold", "WindowLease"]

_SHARE: Final = 8
SHORT_REPLY_TOKENS: Final = 1024
"""What a call that sets no limit holds at least, and all that it holds where nothing bounds it."""


@dataclass(slots=True)
class WindowLease:
    """One budget's present window, as far as this process may spend it. Amounts in nano-dollars.

    What was leased is free, held, or used; a call moves its amount from the first to the second
    and from there to the third, or back.
    """

    budget: BudgetRow
    start_ns: int
    ends: float
    """The window's end as Unix time; infinite for a total."""
    lease_id: int = 0
    granted: int = 0
    free: int = 0
    used: int = 0
    left: int = 0
    """What the store could still grant when it was last asked."""
    holders: int = 1
    largest: int = 0
    """The largest hold seen, which decides when portions become exact."""
    touched: float = 0.0
    recalled: bool = False
    """The budget has changed since money was leased: what is released goes back at once."""
    midway: bool = False
    """The budget was set or moved while this process was running: calls under way may hold nothing
    of it."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Of the calls that find too little here one asks the store, and the others wait for it; calls
    that find enough, or too little elsewhere, do not."""
    refused: tuple[float, int, ApiError] | None = None
    """The last refusal: until when it stands, for which amount and above."""
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    """Calls that wait for others to end, so that what those held is free."""

    @property
    def room(self) -> int:
        """What calls can still be given, as far as this process knows."""
        return self.free + self.left if self.lease_id else int(self.budget.budget.limit)

    @property
    def held(self) -> int:
        """What running calls may still cost."""
        return self.granted - self.free - self.used

    def is_scarce(self, amount: int = 0) -> bool:
        """Whether the store has too little left for each holder's largest call, or for this one."""
        return self.left < self.holders * max(self.largest, amount)


class Hold:
    """Money set aside for one attempt, in every budget that applies."""

    __slots__ = ("accounts", "amount", "asked", "limit", "narrow")

    def __init__(self, amount: int, limit: int, accounts: Sequence[WindowLease] = ()) -> None:
        self.amount = amount
        self.limit = limit
        """The reply's limit that the amount pays for."""
        self.accounts = accounts
        self.asked = limit
        """The reply's limit that the target is asked for; where it is more than what the amount
        pays for, the hold grows while the reply is written."""
        self.narrow = False
        """Whether money is scarce, so that what comes of the call is worth learning from."""


@dataclass(slots=True)
class CostBound:
    """What a call could cost: its price, the most prompt tokens, and the reply's limit."""

    price: Price | None
    prompt: int
    limit: int
    """Of each choice, that is to be held."""
    choices: int
    seconds: float
    fixed: int = 0
    """Of what is paid by the use, the most, in nano-dollars."""
    asked: int = 0
    """The reply's limit that the target is asked for, where a part of it is held at first."""
    narrow: bool = False
    """Whether the budgets have little room for it."""

    def amount(self, limit: int) -> int:
        """The most that the call costs with this limit for each choice, in nano-dollars."""
        if self.price is None:
            return 0
        return self.fixed + self.price.bound(self.prompt, limit * self.choices, self.seconds)

    def limit_within(self, nano: int) -> int:
        """The largest limit for each choice that fits into an amount."""
        assert self.price is not None
        affordable = self.price.affordable_output(nano - self.fixed, self.prompt)
        return min(self.limit, affordable // self.choices)

    def on(self, hold: Hold) -> Hold:
        """Tell a hold what it was made for. One with a lower limit than was wished for pays for
        the whole reply."""
        hold.narrow = self.narrow
        if hold.limit == self.limit:
            hold.asked = self.asked
        return hold

    def share_of(self, accounts: Sequence[WindowLease], limit: int) -> int:
        """The limit of a call that sets none: what a part of the money that is left pays for, and
        a short reply at least, so that one call does not take what others need."""
        assert self.price is not None
        room = min(account.room for account in accounts) // _SHARE
        share = self.price.affordable_output(room - self.fixed, self.prompt) // self.choices
        return min(limit, max(share, SHORT_REPLY_TOKENS))
