"""Money in the memory of one process: what a call may cost, and where that is set aside."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from noria.errors import ApiError
from noria.models import Price
from noria.store import BudgetRow, Shortage

__all__ = ["CostBound", "Hold", "WindowLease"]


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
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Of the calls that find too little here one asks the store, and the others wait for it; calls
    that find enough, or too little elsewhere, do not."""
    refused: tuple[float, int, ApiError] | None = None
    """The last refusal: until when it stands, for which amount and above."""
    shortage: tuple[float, Shortage] | None = None
    """How the window stood when the store had too little; until when it is not asked again."""

    @property
    def held(self) -> int:
        """What running calls may still cost."""
        return self.granted - self.free - self.used

    def is_scarce(self, amount: int = 0) -> bool:
        """Whether the store has too little left for each holder's largest call, or for this one."""
        return self.left < self.holders * max(self.largest, amount)


@dataclass(slots=True)
class CostBound:
    """What a call could cost: its price, the most prompt tokens, and the reply's limit."""

    price: Price | None
    prompt: int
    limit: int
    choices: int
    seconds: float

    def amount(self, limit: int) -> int:
        """The most that the call costs with this limit for each choice, in nano-dollars."""
        if self.price is None:
            return 0
        return self.price.bound(self.prompt, limit * self.choices, self.seconds)

    def limit_within(self, nano: int) -> int:
        """The largest limit for each choice that fits into an amount."""
        assert self.price is not None
        return min(self.limit, self.price.affordable_output(nano, self.prompt) // self.choices)


class Hold:
    """Money set aside for one attempt, in every budget that applies."""

    __slots__ = ("accounts", "amount", "limit")

    def __init__(self, amount: int, limit: int, accounts: Sequence[WindowLease] = ()) -> None:
        self.amount = amount
        self.limit = limit
        """The reply's limit that the amount pays for."""
        self.accounts = accounts
