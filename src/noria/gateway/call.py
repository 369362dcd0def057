"""One call on its way: which targets are tried, and what each attempt may cost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from noria.errors import ApiError
from noria.gateway.attempt import Attempt, HedgeRace
from noria.gateway.call_record import CallRecord
from noria.gateway.failures import AttemptFailure
from noria.gateway.hedge import run_hedged
from noria.gateway.native_requests import HOSTED_USE_NANO
from noria.gateway.rate_limits import RateSlot
from noria.gateway.request import Request
from noria.gateway.reservation import SHORT_REPLY_TOKENS, CostBound, Hold, WindowLease
from noria.gateway.routing import Breaker, backoff, order
from noria.http.sink import ResponseSink
from noria.models import Route, Target
from noria.models.reply_limits import UNKNOWN_REPLY_TOKENS
from noria.tracing import Trace
from noria.types import Label, Status

if TYPE_CHECKING:
    from noria.gateway.core import Application, Gateway

__all__ = ["Call"]

log = logging.getLogger("noria.gateway")

_AMPLE: Final = 8
"""Where so many times as much is free as a call can cost, it is bounded without much ado."""
_PATIENCE_SECONDS: Final = 1.0
"""How long a call waits for what others hold."""


class Call:
    """A call that was let in. Either `begin` or `run` takes it to its end.

    Most calls are answered by the first target at the first attempt, and nothing has to be waited
    for before it: `begin` makes that attempt without a task, and makes one if there is more to do.
    """

    def __init__(
        self,
        gateway: Gateway,
        record: CallRecord,
        request: Request,
        sink: ResponseSink,
        counted: RateSlot | None,
        route: Route | None,
        application: Application | None,
    ) -> None:
        self._gateway = gateway
        self._record = record
        self._request = request
        self._sink = sink
        self._counted = counted
        self._application = application
        self.needs_task = application is not None
        """Whether it is an application's, and only `run` will do."""
        self._targets: Sequence[Target] = order(route) if route is not None else ()
        self._hedge_seconds = route.hedge_seconds if route is not None else None
        self._attempt: Attempt | None = None
        """The attempt that is not settled yet, or the one that answered."""
        self._breaker: Breaker | None = None
        """That of the first target, once `begin` has asked for it."""
        self._failed_at_once: AttemptFailure | None = None
        """How the attempt failed that `begin` has made."""
        self._task: asyncio.Task[None] | None = None
        self._running = False
        """Whether `run` has begun."""

    async def run(self) -> None:
        """Answer. Cancelling it stops the upstream and charges what was generated."""
        self._running = True
        try:
            if self._application is not None:
                key, context = self._record.key, self._record.context
                await self._application.answer(self._request, key, self._sink, context)
            else:
                await self._answer()
        finally:
            self.count_out()

    def begin(self) -> None:
        """Answer, without being waited for."""
        try:
            attempt = self._attempt_at_once()
        except ApiError as refusal:
            self._fail(AttemptFailure(refusal))
            self.count_out()
            return
        if attempt is None:
            self._task = self._gateway.loop.create_task(self.run())
            return
        self._attempt = attempt
        attempt.start(self._record.headers(attempt.target), self._first_has_ended)

    def cancel(self) -> None:
        """The caller went away."""
        if self._task is not None:
            self._task.cancel()
        if not self._running:  # a task that is cancelled before its first step never takes one
            self._leave()
            self.count_out()

    def _attempt_at_once(self) -> Attempt | None:
        """The first attempt, if nothing has to be waited for before it."""
        target, record, gateway = self._targets[0], self._record, self._gateway
        breaker = self._breaker = gateway.breakers[target]
        if self._hedge_seconds is not None or breaker.open:
            return None
        request = self._request
        if target.upstream.wire != request.endpoint.wire and not request.can_ask(target):
            return None
        if target.label is not Label.PUBLIC:  # the trace is marked first, which takes a while
            return None
        if record.context is not None:
            return None  # Its trace's mark must be asked for.
        accounts = gateway.leases.accounts_at_hand(record.key, self._request.model, target.name)
        if accounts is None:
            return None
        bound = self._bound(target, accounts)
        hold = gateway.leases.take(accounts, bound.amount(bound.limit), bound.limit)
        if hold is None:
            return None
        return self._make(target, bound.on(hold), bound)

    def _first_has_ended(self, failed: AttemptFailure | None) -> None:
        if failed is None:
            assert self._breaker is not None
            self._breaker.succeeded()
            self.count_out()
        else:
            self._failed_at_once = failed
            self._task = self._gateway.loop.create_task(self.run())

    def count_out(self) -> None:
        """Release the rate-limit slot. Idempotent."""
        if self._counted is not None:
            self._counted.out(self._attempt.tokens if self._attempt is not None else 0)

    async def _answer(self) -> None:
        """Try targets until one answers, then make sure that the call has an end."""
        try:
            failed = await self._try_targets()
        except asyncio.CancelledError:
            self._leave()
            raise
        except ApiError as refusal:
            failed = AttemptFailure(refusal)
        except Exception:
            log.exception("A call of %s failed inside noria.", self._request.model)
            failed = AttemptFailure.inside()
        if failed is not None:
            self._fail(failed)

    def _leave(self) -> None:
        """The caller went away: stop and record what there is."""
        if self._attempt is None:
            self._record.left()
        elif not self._attempt.ended:
            self._attempt.cancelled()

    def _fail(self, failed: AttemptFailure) -> None:
        """There is no answer."""
        attempt = self._attempt
        if attempt is not None:
            attempt.fail(failed)
        elif self._record.attempts:
            self._record.close(Status.ERROR, failed.error)
        else:
            self._record.refused(failed.error)
        if attempt is None or not attempt.forwarded:
            self._sink.fail(self._record.headers(), failed.error)

    async def _try_targets(self) -> AttemptFailure | None:
        """One target after the other. None when the caller has an answer."""
        failed: AttemptFailure | None = None
        targets = self._targets
        if self._record.context is not None:
            trace = self._record.context.trace
            targets = await self._cleared(targets, trace)
            # What a model says may be what it learned.
            await self._gateway.labels.raise_to(trace, max(target.label for target in targets))
        for number, target in enumerate(targets):
            if not self._request.can_ask(target):
                continue
            if not self._gateway.breakers[target].allows():
                failed = failed or AttemptFailure.resting(target)
                continue
            following = targets[number + 1] if number + 1 < len(targets) else None
            failed = await self._try_target(target, following, failed)
            if failed is None or failed.final or not failed.elsewhere:
                break
        return failed

    async def _cleared(self, targets: Sequence[Target], trace: Trace) -> Sequence[Target]:
        """The targets that may be told what was read in a trace.

        Raises:
            ApiError: 403 `label_exceeds_clearance` when there is none.
        """
        if all(target.clearance is Label.RESTRICTED for target in targets):
            return targets
        mark = await self._gateway.labels.current(trace)
        cleared = [target for target in targets if target.clearance >= mark]
        if not cleared:
            best = max(targets, key=lambda target: target.clearance)
            raise ApiError(
                403, "label_exceeds_clearance",
                f"Something {mark} was read in this run, and {best.name} is cleared for "
                f"{best.clearance} only. Use a model that is cleared for {mark}, such as a local "
                f"one, or set providers.{best.provider}.clearance in noria.toml.",
                param="model",
            )  # fmt: skip
        return cleared

    async def _try_target(
        self, target: Target, following: Target | None, failed: AttemptFailure | None
    ) -> AttemptFailure | None:
        """One target, and again after a pause while that may help."""
        routing, breakers = self._gateway.config.routing, self._gateway.breakers
        breaker = breakers[target]
        retry = 0
        resent = False
        while True:
            if retry and failed is not None and not resent:
                await asyncio.sleep(backoff(retry, routing.backoff_seconds, failed.retry_after))
            if self._attempt is not None and failed is not None:
                self._attempt.settle(failed)
                self._attempt = None
            failed = await self._try_once(target, following, fresh=resent)
            if failed is None:
                assert self._attempt is not None
                breakers[self._attempt.target].succeeded()
                return None
            if self._attempt is not None and not self._attempt.recorded:
                self._attempt = None
                break
            if failed.again and not resent:
                resent = True  # at once, with a hold of its own
                continue
            resent = False
            if failed.is_targets_fault:
                breaker.failed()
            else:
                breaker.succeeded()
            retry += 1
            if failed.final or not failed.retryable or breaker.open or retry > routing.retries:
                break
        return failed

    async def _try_once(
        self, target: Target, following: Target | None, *, fresh: bool
    ) -> AttemptFailure | None:
        """One attempt, or a hedged pair; `_attempt` is the one that is still to be settled."""
        if (failed := self._failed_at_once) is not None:
            self._failed_at_once = None
            return failed
        if self._hedge_seconds is None or following is None:
            hold, bound = await self._hold(target)
            self._attempt = self._make(target, hold, bound, fresh=fresh)
            return await self._attempt.run(self._record.headers(target))
        claim = HedgeRace()

        async def make(target: Target) -> Attempt:
            hold, bound = await self._hold(target)
            return self._make(target, hold, bound, claim)

        self._attempt = await make(target)
        self._attempt, failed = await run_hedged(
            self._attempt,
            claim,
            lambda one: one.run(self._record.headers(one.target)),
            partial(make, following),
            self._hedge_seconds,
        )
        return failed

    def _make(
        self,
        target: Target,
        hold: Hold,
        bound: CostBound,
        claim: HedgeRace | None = None,
        *,
        fresh: bool = False,
    ) -> Attempt:
        return Attempt(
            self._gateway,
            self._record,
            self._request,
            target,
            hold,
            bound,
            self._sink,
            claim,
            fresh=fresh,
        )

    # What an attempt may cost

    async def _hold(self, target: Target) -> tuple[Hold, CostBound]:
        """Hold the most that an attempt can cost in every budget that applies. What calls under
        way hold is waited for a moment: most cost much less."""
        key, context, leases = self._record.key, self._record.context, self._gateway.leases
        app = context.app or context.agent if context is not None else None
        waits_until = self._gateway.loop.time() + _PATIENCE_SECONDS
        while True:
            accounts = await leases.accounts_for(key, self._request.model, target.name, app)
            bound = self._bound(target, accounts)
            try:
                hold = await leases.reserve(accounts, bound, bound.amount(bound.limit))
                return bound.on(hold), bound
            except ApiError as refusal:
                left = waits_until - self._gateway.loop.time()
                if refusal.code != "budget_held" or left <= 0:
                    raise
                if not await leases.released(accounts, bound.amount(1), left):
                    raise

    def _bound(self, target: Target, accounts: Sequence[WindowLease]) -> CostBound:
        """What an attempt could cost. Without budgets its limit is the caller's own, 0 for none.

        Raises:
            ApiError: 403 `price_unknown`, 400 `unbounded_cost`: it cannot be bounded, and there
                are budgets.
        """
        request, gateway, price = self._request, self._gateway, target.price
        prompt, media = request.prompt_bytes + target.allowance, 0
        if request.has_parts:
            media = request.images * (target.image_allowance or 0)
            media += request.audios * (target.audio_allowance or 0)
            prompt += media
        choices, seconds = request.choices, gateway.total_seconds
        uses = request.hosted_uses(target)
        limit = self._limit(target) if request.endpoint.is_chat else 0
        bound = CostBound(price, prompt, limit, choices, seconds, uses * HOSTED_USE_NANO)
        if not accounts:
            bound.asked = request.limit or 0
            if not bound.asked:
                bound.limit = min(limit, SHORT_REPLY_TOKENS)
            return bound
        if price is None:
            raise ApiError(
                403, "price_unknown",
                f"{target.name} has no known price, so it cannot be used under a budget. Set "
                f'[prices."{target.name}"] input and output in noria.toml.',
                param="model",
            )  # fmt: skip
        amount = bound.amount(limit)
        if amount > 0:
            unbounded = request.unbounded(target)
            if unbounded is not None:
                field, why = unbounded
                raise ApiError(
                    400, "unbounded_cost",
                    f"{field} cannot be used under a money budget: {why}.",
                    param=field,
                )  # fmt: skip
            for account in accounts:
                if account.free < _AMPLE * amount:
                    bound.narrow = True
                    bound.prompt = gateway.prompt_bounds.bound(request, target, media)
                    if request.limit is None and gateway.default_max_tokens is None:
                        bound.limit = bound.share_of(accounts, limit)
                    break
        bound.asked = bound.limit
        portion = gateway.hold_portion
        if request.stream and 0 < portion < bound.limit and not target.hides_reasoning:
            bound.limit = portion
        return bound

    def _limit(self, target: Target) -> int:
        """The most tokens of each choice."""
        limit, own = self._request.limit, target.reply_limit or UNKNOWN_REPLY_TOKENS
        if limit is None:
            return self._gateway.default_max_tokens or own
        return limit if target.reply_limit is None else min(limit, own)
