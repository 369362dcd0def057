"""Budget reservations of this process, backed by leases from the database.

A budget's money is leased from the store in portions, by one conditional UPDATE, so that the
usual reservation is a comparison in memory. What is leased is promised: settled + leased never
passes a budget's limit in the store, and held + used never passes a lease here, so settled + held
never passes a limit, whatever the number of processes.

Money goes back only through the journal (a `return` record): whoever is granted it afterwards
was granted it after this process's earlier records were taken in, so that a reader of the store
never counts the same money twice.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from math import inf
from typing import Final

from noria.errors import ApiError, NotFound, StoreUnavailable
from noria.gateway.reservation import CostBound, Hold, WindowLease
from noria.store import (
    BudgetRow,
    Database,
    Generation,
    Grant,
    Journal,
    Key,
    Shortage,
    count_holders,
    grant_all,
    heartbeat,
    list_budgets,
    register_holder,
)
from noria.types import Subject, utc_now

__all__ = ["BudgetLeases"]

LEASE_SECONDS: Final = 120.0
_TICK_SECONDS: Final = 0.25
_IDLE_SECONDS: Final = 0.5
"""Seconds before an unused lease is returned when other processes are registered."""
_KEPT_SECONDS: Final = 60.0
"""For how long it is kept where there are no others."""
_HEARTBEAT_SECONDS: Final = 10.0
_SETTLE_SECONDS: Final = 0.05
"""In which a hold that was taken before a change of the budgets was seen gets into its journal."""
_SHARE: Final = 4
_MOST_REMEMBERED: Final = 20_000
_WOKEN: Final = 8
"""How many waiting calls look again when one has ended: a call may have held for several what they
will use."""
_PATIENCE: Final = 6
"""How often a shortage is looked at again while other processes still hold leases."""

_Question = tuple[str, str, str, str | None]
"""A key, the model that was asked for, a target, an application."""


class BudgetLeases:
    """The leases of one process."""

    def __init__(
        self,
        db: Database,
        journal: Journal,
        generation: Generation,
        holder: str,
        take_in: Callable[[], int],
    ) -> None:
        self._db = db
        self._journal = journal
        self._generation = generation
        self._holder = holder
        self._take_in = take_in
        self._seen = -1
        self._budgets: dict[tuple[Subject, str], BudgetRow] = {}
        self._accounts: dict[tuple[int, int], WindowLease] = {}
        self._applying: dict[_Question, tuple[tuple[WindowLease, ...], float]] = {}
        self._lock = asyncio.Lock()
        self._midway: set[int] = set()
        """Budgets that were set or moved since this process began."""
        self._valid_until = 0.0

    async def start(self) -> None:
        """Make the holder known and read the budgets.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        await asyncio.to_thread(register_holder, self._db, self._holder, os.getpid(), LEASE_SECONDS)
        self._valid_until = time.monotonic() + LEASE_SECONDS
        await self._reload()

    # Which budgets apply

    def accounts_at_hand(
        self, key: Key, model: str, target: str, app: str | None = None
    ) -> tuple[WindowLease, ...] | None:
        """The accounts of all budgets that a call must fit, None when they must be looked up."""
        if self._generation.value != self._seen:
            return None
        found = self._applying.get((key.id, model, target, app))
        if found is None or time.time() >= found[1]:
            return None
        return found[0]

    async def accounts_for(
        self, key: Key, model: str, target: str, app: str | None = None
    ) -> tuple[WindowLease, ...]:
        """The same, looked up where they must be."""
        if (found := self.accounts_at_hand(key, model, target, app)) is not None:
            return found
        if self._generation.value != self._seen:
            async with self._lock:
                if self._generation.value != self._seen:
                    await self._reload()
        accounts = tuple(map(self._open, self._budgets_of(key, model, target, app)))
        if len(self._applying) >= _MOST_REMEMBERED:
            self._applying.clear()
        ends = min((account.ends for account in accounts), default=inf)
        self._applying[key.id, model, target, app] = accounts, ends
        return accounts

    def _budgets_of(
        self, key: Key, model: str, target: str, app: str | None
    ) -> Iterator[BudgetRow]:
        subjects = [
            (Subject.INSTALLATION, ""),
            (Subject.TEAM, key.team),
            (Subject.USER, key.user),
            (Subject.KEY, key.id),
            (Subject.MODEL, model),
            (Subject.APP, app),
        ]
        if target != model:
            subjects.append((Subject.MODEL, target))
        for subject, name in subjects:
            if name is not None and (subject, name) in self._budgets:
                yield self._budgets[subject, name]

    def _open(self, budget: BudgetRow) -> WindowLease:
        """The account of a budget's present window."""
        at = utc_now()
        start_ns = int(budget.budget.window.start(at).timestamp()) * 1_000_000_000
        end = budget.budget.window.end(at)
        account = self._accounts.get((budget.id, start_ns))
        if account is None:
            account = WindowLease(budget, start_ns, end.timestamp() if end else inf)
            account.midway = budget.id in self._midway
            self._midway.discard(budget.id)
            self._accounts[budget.id, start_ns] = account
        account.budget = budget  # Its limit may have changed; the lease and its holds go on.
        return account

    async def _reload(self) -> None:
        seen = self._generation.value
        try:
            rows = await asyncio.to_thread(list_budgets, self._db)
        except StoreUnavailable:
            if self._seen < 0:
                raise
            return  # What was known goes on; the leases bound it.
        fresh = {(row.subject, row.name): row for row in rows}
        known = {row.id: row.budget for row in self._budgets.values()}
        now = {row.id: row.budget for row in rows}
        for account in self._accounts.values():
            # What was leased under another limit or in another window is promised no more. What
            # running calls hold goes back as they end.
            if known.get(account.budget.id) != now.get(account.budget.id):
                self._give_back(account)
                account.left = 0
                account.recalled = True
                account.refused = None
        if self._seen >= 0:
            self._midway |= {row.id for row in rows if known.get(row.id) != row.budget}
        self._budgets = fresh
        self._applying.clear()
        self._seen = seen

    # Reserve and settle

    def take(self, accounts: Sequence[WindowLease], amount: int, limit: int) -> Hold | None:
        """Set an amount aside in every account, None if what is leased does not suffice.

        Args:
            accounts: those of all budgets that apply.
            amount: the most that the attempt can cost, in nano-dollars.
            limit: the reply's limit that this pays for.
        """
        if not accounts or amount == 0:
            return Hold(amount, limit)
        now = time.monotonic()
        if now >= self._valid_until:
            return None
        for account in accounts:
            if account.free < amount:
                return None
        for account in accounts:
            account.free -= amount
            account.touched = now
            if amount > account.largest:
                account.largest = amount
        return Hold(amount, limit, accounts)

    async def reserve(self, accounts: Sequence[WindowLease], wish: CostBound, amount: int) -> Hold:
        """The same, leasing more where it is needed, and lowering the limit where it must be.

        Args:
            accounts: those of all budgets that apply.
            wish: what the attempt could cost.
            amount: the same in nano-dollars, for the limit that is wished for.

        Raises:
            ApiError: 429 `budget_exhausted` when not even the prompt fits into what is left of a
                window, 429 `budget_held` when it would once running calls have settled, 503 when
                the leases are used up and the database does not answer.
        """
        if (hold := self.take(accounts, amount, wish.limit)) is not None:
            return hold
        short = next((one for one in accounts if one.free < amount), accounts[0])
        async with short.lock:
            # Meanwhile a window may have ended, or the leases with this process's good name.
            present = tuple(self._open(account.budget) for account in accounts)
            return await self._reserve_slowly(present, wish)

    def settle(self, hold: Hold, cost: int) -> None:
        """Release a hold and charge its cost.

        To be called after the attempt's end stands in the journal: money that is given back
        here may be granted to another process as soon as the records up to here are taken in.
        """
        charged = min(cost, hold.amount)  # an overrun is charged beside the lease
        released = hold.amount - charged
        for account in hold.accounts:
            account.free += released
            account.used += charged
            if account.waiting:
                _wake(account)
            if account.recalled or (account.holders > 1 and account.is_scarce()):
                self._give_back(account)

    def grow(self, hold: Hold, amount: int) -> bool:
        """Add to what a running call holds. Tells whether what is leased sufficed."""
        if time.monotonic() >= self._valid_until:
            return False
        if any(account.free < amount for account in hold.accounts):
            return False
        for account in hold.accounts:
            account.free -= amount
        hold.amount += amount
        return True

    async def lease_more(self, hold: Hold, amount: int) -> None:
        """Have the store grant what a running call is about to add to its hold.

        Raises:
            ApiError: it grants nothing.
        """
        short = next((one for one in hold.accounts if one.free < amount), None)
        if short is None:
            return
        async with short.lock:
            shortage = await self._top_up(hold.accounts, amount)
            if shortage is not None:
                raise self._refusal(shortage, amount)

    async def released(self, accounts: Sequence[WindowLease], amount: int, seconds: float) -> bool:
        """Wait until a call that runs has ended and left what may suffice for another.

        Returns: False when none has within the time, or none is running.
        """
        short = next((one for one in accounts if one.free < amount and one.held > 0), None)
        if short is None:
            return False
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        short.waiting.append(turn)
        try:
            async with asyncio.timeout(seconds):
                await turn
        except TimeoutError:
            return False
        finally:
            if not turn.done() or turn.cancelled():
                with suppress(ValueError):
                    short.waiting.remove(turn)
        return True

    async def _reserve_slowly(self, accounts: Sequence[WindowLease], wish: CostBound) -> Hold:
        limit, least = wish.limit, wish.amount(1)
        for account in accounts:
            if account.refused is not None:
                until, refused, refusal = account.refused
                if least >= refused and least > account.free and time.monotonic() < until:
                    raise refusal
        shortage: list[tuple[WindowLease, Shortage]] | None = None
        for patience in range(_PATIENCE):
            amount = wish.amount(limit)
            if (hold := self.take(accounts, amount, limit)) is not None:
                return hold
            shortage = await self._top_up(accounts, amount)
            if shortage is None:
                continue
            within = min(self._obtainable(account, short) for account, short in shortage)
            if (lower := wish.limit_within(within)) >= 1 and lower < limit:
                limit = lower
                continue
            limit = wish.limit
            if not self._others_may_return(shortage):
                break
            if patience:
                await asyncio.sleep(_TICK_SECONDS)
            await self._take_in_now()
        raise self._refusal(shortage or [], least)

    async def _top_up(
        self, accounts: Sequence[WindowLease], amount: int
    ) -> list[tuple[WindowLease, Shortage]] | None:
        """Lease what is missing. Gives the shortages, with every account's standing, if any."""
        first = not all(account.lease_id for account in accounts)
        if first and any(account.midway for account in accounts):
            # Calls that were under way when the budget was set hold nothing of it. Their holds must
            # stand in the store before anything is granted.
            await self._see_all_holds()
        wants = []
        for account in accounts:
            least = max(0, amount - account.free)
            portion = account.left // (_SHARE * max(1, account.holders))
            want = least if account.is_scarce(amount) else max(least, portion - account.free)
            wants.append((account.budget.id, account.start_ns, want, least))
        try:
            if time.monotonic() >= self._valid_until and not await self._beat():
                raise _budgets_changed()
            granted = await asyncio.to_thread(
                grant_all, self._db, self._holder, wants, LEASE_SECONDS
            )
        except StoreUnavailable:
            raise ApiError(
                503, "store_unavailable",
                "The database does not answer and the money leased before is used up. Try again.",
                retry_after=2,
            ) from None  # fmt: skip
        except NotFound:
            # This process was given up meanwhile, or a budget was lifted.
            await self._beat()
            await self._reload()
            raise _budgets_changed() from None
        short: list[tuple[WindowLease, Shortage]] = []
        for account, answer in zip(accounts, granted, strict=True):
            if isinstance(answer, Shortage):
                account.left = max(0, answer.limit - answer.settled - answer.leased)
                short.append((account, answer))
        if short:
            return short  # All or nothing: what the others would have been granted was not.
        for account, answer in zip(accounts, granted, strict=True):
            assert isinstance(answer, Grant)
            account.lease_id = answer.lease_id
            account.recalled = account.midway = False
            account.granted += answer.granted
            account.free += answer.granted
            account.left = answer.left
            account.holders = answer.holders
        if first:
            # How large a portion may be is known from now on. It is leased at once: the database
            # may be away when the next call comes.
            return await self._top_up(accounts, amount)
        return None

    async def _see_all_holds(self) -> None:
        """Have every hold in the store that was taken before a change of the budgets was seen."""
        try:
            if await asyncio.to_thread(count_holders, self._db) > 1:
                await asyncio.sleep(_SETTLE_SECONDS)
        except StoreUnavailable:
            return  # Then nothing is granted either.
        await self._take_in_now()

    @staticmethod
    def _obtainable(account: WindowLease, short: Shortage) -> int:
        return account.free + max(0, short.limit - short.settled - short.leased)

    @staticmethod
    def _others_may_return(shortage: list[tuple[WindowLease, Shortage]]) -> bool:
        """Whether money may come back: pending records of ours, or leases of other processes."""
        return any(
            short.leased > account.granted - account.used and short.settled < short.limit
            for account, short in shortage
        )

    def _refusal(self, shortage: list[tuple[WindowLease, Shortage]], least: int) -> ApiError:
        for account, short in shortage:
            if self._obtainable(account, short) < least:
                refusal = self._refusal_of(account, short, least)
                account.refused = (time.monotonic() + _TICK_SECONDS, least, refusal)
                return refusal
        return ApiError(
            429, "budget_held",
            "What is left of the budget is being moved between processes. Try again.",
            retry_after=1,
        )  # fmt: skip

    @staticmethod
    def _refusal_of(account: WindowLease, short: Shortage, least: int) -> ApiError:
        budget = account.budget
        of = f"{budget.subject} {budget.name}" if budget.name else "this installation"
        if budget.subject is Subject.KEY:
            of = "this key"
        if short.limit - short.settled >= least:
            return ApiError(
                429, "budget_held",
                f"What is left of the budget of {of} ({budget.budget}) is held by calls that are "
                "still running. Try again when they have ended.",
                retry_after=1,
            )  # fmt: skip
        ends = budget.budget.window.end(utc_now())
        until = f" It opens again at {ends:%Y-%m-%d %H:%M} UTC." if ends else ""
        seconds = max(1, math.ceil((ends - utc_now()).total_seconds())) if ends else None
        return ApiError(
            429, "budget_exhausted", f"The budget of {of} ({budget.budget}) is used up.{until}",
            retry_after=seconds,
        )  # fmt: skip

    async def _take_in_now(self) -> None:
        try:
            await asyncio.to_thread(self._take_in)
        except StoreUnavailable:
            return

    # Giving back

    def _give_back(self, account: WindowLease) -> None:
        free = account.free
        if free > 0 and account.lease_id:
            account.granted -= free
            account.free = 0
            self._journal.append({"t": "return", "lease": account.lease_id, "amount": free})

    async def _return_idle(self) -> None:
        if self._generation.value != self._seen:
            async with self._lock:
                await self._reload()
        now, wall = time.monotonic(), time.time()
        idle = []
        for slot, account in tuple(self._accounts.items()):
            if wall >= account.ends:
                self._give_back(account)
                if account.held == 0:
                    del self._accounts[slot]
            elif account.free > 0 and now - account.touched > _IDLE_SECONDS:
                idle.append(slot)
        if not idle:
            return
        try:
            others = await asyncio.to_thread(count_holders, self._db) > 1
        except StoreUnavailable:
            return  # Nobody could have it now, and this process could not get it back.
        for account in filter(None, map(self._accounts.get, idle)):
            unused = time.monotonic() - account.touched
            if unused > (_IDLE_SECONDS if others else _KEPT_SECONDS):
                self._give_back(account)

    async def _beat(self) -> bool:
        """Say that this process lives. Tells whether the store has believed so all along."""
        before = time.monotonic()
        known = await asyncio.to_thread(heartbeat, self._db, self._holder, LEASE_SECONDS)
        if not known:
            # The store took this process for dead and charged its leases; their money is gone.
            self._accounts.clear()
            self._applying.clear()
            await asyncio.to_thread(
                register_holder, self._db, self._holder, os.getpid(), LEASE_SECONDS
            )
        self._valid_until = before + LEASE_SECONDS
        return known

    async def run(self) -> None:
        """Keep the leases alive and give idle money back, until cancelled."""
        beat = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            await self._return_idle()
            if time.monotonic() - beat >= _HEARTBEAT_SECONDS:
                beat = time.monotonic()
                try:
                    await self._beat()
                except StoreUnavailable:
                    continue

    def close(self) -> None:
        """Give everything back that is not held."""
        for account in self._accounts.values():
            self._give_back(account)


def _wake(account: WindowLease) -> None:
    """Let the call that has waited longest look again, and another where two may fit."""
    for _ in range(_WOKEN):
        while account.waiting:
            turn = account.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                break


def _budgets_changed() -> ApiError:
    message = "The budgets have just changed. Try again."
    return ApiError(503, "budgets_changed", message, retry_after=1)
