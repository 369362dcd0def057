"""The one door to every model, without HTTP.

    authenticate -> authorise -> reserve -> route -> relay -> settle -> record

The fast HTTP lane and callers in the same process both come through `Gateway.call`, so that no
path goes round the rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from noria.config import Config
from noria.errors import ApiError, RealRequestForbidden
from noria.gateway.attempt import Attempt, Claim, Failed
from noria.gateway.hedge import run_hedged
from noria.gateway.keyring import KeyRing
from noria.gateway.limits import Limits, Quota
from noria.gateway.purse import Hold, Purse, Wish
from noria.gateway.recorder import CallRecord
from noria.gateway.request import Endpoint, Request, read_request
from noria.gateway.routing import Breakers, backoff, order
from noria.gateway.sink import Headers, Sink
from noria.gateway.tracing import Marks, Place, Trace
from noria.gateway.upstream import Upstreams
from noria.models import Catalogue, Route, Target
from noria.store import Journal, Key
from noria.types import Label, Status

__all__ = ["Application", "Applications", "Gateway", "authorise", "may_use"]


class Application(Protocol):
    """Something that answers under a model's name of its own, and makes its own calls."""

    async def answer(self, request: Request, key: Key, sink: Sink, place: Place | None) -> None:
        """Answer one chat call into `sink`; failures go into `sink` too.

        Args:
            request: the call as it was read.
            key: who asks.
            sink: where the answer goes.
            place: the run that it is a part of; None begins one.
        """


class Applications(Protocol):
    """Knows the applications: what a higher floor plugs into the gateway."""

    def find(self, model: str) -> Application | None:
        """The application that answers to a model's name."""

    def names(self) -> list[str]:
        """Every name that is answered to."""


@dataclass(slots=True)
class _Call:
    """A call on its way."""

    record: CallRecord
    request: Request
    route: Route
    sink: Sink
    attempt: Attempt | None = None
    """The attempt that is not settled yet, or the one that answered."""


class Gateway:
    """Answers calls, keeps the rules, writes the record. One for each process."""

    def __init__(
        self,
        config: Config,
        catalogue: Catalogue,
        keys: KeyRing,
        purse: Purse,
        limits: Limits,
        journal: Journal,
        upstreams: Upstreams,
        marks: Marks,
    ) -> None:
        self.config = config
        self.loop = asyncio.get_running_loop()
        self.journal = journal
        self.marks = marks
        self.applications: Applications | None = None
        self.catalogue = catalogue
        self.keys = keys
        self.breakers = Breakers(config.routing)
        self._purse = purse
        self._limits = limits
        self._upstreams = upstreams

    async def call(
        self, endpoint: Endpoint, key: Key, raw: bytes, sink: Sink, place: Place | None = None
    ) -> None:
        """Answer one call into `sink`. Never raises for what a caller or an upstream does wrong.

        A caller who goes away cancels the task: the upstream is stopped, and what was generated
        until then is recorded and charged.

        Args:
            endpoint: which call.
            key: who pays.
            raw: the request's JSON.
            sink: where the answer goes.
            place: the run that the call is a part of; None begins a trace of its own.
        """
        record = CallRecord(self.journal, endpoint, key, raw)
        record.content = self.config.recording.content and key.record_content
        if place is not None:
            record.place, record.trace_id = place, place.trace.id
            record.content = record.content and place.content
        try:
            request = record.request = read_request(endpoint, raw)
            applications = self.applications
            application = applications.find(request.model) if applications else None
            if application is None:
                route = self.catalogue.resolve(request.model)
                if route.record_content is False:
                    record.content = False
            if place is None or place.app is None:  # else the key was let into the application
                authorise(key, request.model)
            quota = Quota.of_key(key)
            estimate = len(raw) // 4
            counted = place is not None and place.counted
            if not counted:
                self._limits.enter(quota, estimate)
        except ApiError as refusal:
            record.refused(refusal)
            sink.fail(_trace(record), refusal)
            return
        used = 0
        try:
            if application is not None:
                await application.answer(request, key, sink, place)
            else:
                call = _Call(record, request, route, sink)
                try:
                    await self._answer(call)
                finally:
                    used = call.attempt.tokens if call.attempt is not None else 0
        finally:
            if counted:
                self._limits.add_tokens(quota, used)
            else:
                self._limits.leave(quota, max(used - estimate, -estimate))

    @contextmanager
    def counting(self, key: Key, tokens: int) -> Iterator[None]:
        """Count something that is no call of a model in its key's limits, while it lasts.

        Args:
            key: who asks.
            tokens: an estimate of what is sent; models that are called meanwhile count their own.

        Raises:
            ApiError: 429 with `Retry-After`.
        """
        quota = Quota.of_key(key)
        self._limits.enter(quota, tokens)
        try:
            yield
        finally:
            self._limits.leave(quota, -tokens)

    async def _answer(self, call: _Call) -> None:
        """Try targets until one answers, then make sure that the call has an end."""
        try:
            failed = await self._try_targets(call)
        except asyncio.CancelledError:
            if call.attempt is None:
                call.record.left()
            elif not call.attempt.ended:
                call.attempt.cancelled()
            raise
        except ApiError as refusal:
            failed = Failed(refusal)
        except RealRequestForbidden as forbidden:
            failed = Failed(ApiError(500, "real_request_forbidden", str(forbidden)))
        if failed is None:
            return
        if call.attempt is not None:
            call.attempt.fail(failed)
        elif call.record.attempts:
            call.record.end(None, Status.ERROR, error=failed.error)
        else:
            call.record.refused(failed.error)
        if call.attempt is None or not call.attempt.forwarded:
            call.sink.fail(_trace(call.record), failed.error)

    async def _try_targets(self, call: _Call) -> Failed | None:
        """One target after the other. None when the caller has an answer."""
        failed: Failed | None = None
        targets: Sequence[Target] = order(call.route)
        if call.record.place is not None:
            targets = await self._cleared(targets, call.record.place.trace)
        for place, target in enumerate(targets):
            if not self.breakers[target].allows():
                failed = failed or Failed.resting(target)
                continue
            following = targets[place + 1] if place + 1 < len(targets) else None
            failed = await self._try_target(call, target, following, failed)
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
        mark = await self.marks.current(trace)
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
        self, call: _Call, target: Target, following: Target | None, failed: Failed | None
    ) -> Failed | None:
        """One target, and again after a pause while that may help."""
        routing, breaker = self.config.routing, self.breakers[target]
        for retry in range(routing.retries + 1):
            if retry and failed is not None:
                await asyncio.sleep(backoff(retry, routing.backoff_seconds, failed.retry_after))
            if call.attempt is not None and failed is not None:
                call.attempt.settle(failed)
                call.attempt = None
            failed = await self._attempt(call, target, following)
            if failed is None:
                assert call.attempt is not None
                self.breakers[call.attempt.target].succeeded()
                return None
            if failed.is_targets_fault:
                breaker.failed()
            else:
                breaker.succeeded()
            if failed.final or not failed.retryable or breaker.open:
                break
        return failed

    async def _attempt(
        self, call: _Call, target: Target, following: Target | None
    ) -> Failed | None:
        """One attempt, or a hedged pair; `call.attempt` is the one that is still to be settled."""
        hedge = call.route.hedge_seconds
        if hedge is None or following is None:
            call.attempt = await self._make_attempt(call, target)
            return await call.attempt.run(self._headers(call.record, target))
        claim = Claim()
        call.attempt = await self._make_attempt(call, target, claim)
        call.attempt, failed = await run_hedged(
            call.attempt,
            claim,
            lambda one: one.run(self._headers(call.record, one.target)),
            partial(self._make_attempt, call, following, claim),
            hedge,
        )
        return failed

    async def _make_attempt(
        self, call: _Call, target: Target, claim: Claim | None = None
    ) -> Attempt:
        """An attempt whose money is held and whose hold is in the journal."""
        hold = await self._reserve(call.record, call.request, target)
        return Attempt(
            call.record, call.request, target, hold, call.sink,
            self._purse, self._limits, self._upstreams, claim,
        )  # fmt: skip

    async def _reserve(self, record: CallRecord, request: Request, target: Target) -> Hold:
        """Hold the most that one attempt can cost in every budget that applies."""
        app = record.place.app if record.place is not None else None
        budgets = await self._purse.budgets_for(record.key, request.model, target.name, app)
        routing = self.config.routing
        limit = request.limit or routing.default_max_tokens
        wish = Wish(
            target.price,
            len(record.raw) + target.allowance,
            limit if request.endpoint is Endpoint.CHAT else 0,
            request.choices,
            routing.total_seconds,
        )
        if not budgets:
            return Hold(wish.amount(wish.limit), request.limit or 0)
        if target.price is None:
            raise ApiError(
                403, "price_unknown",
                f"{target.name} has no known price, so it cannot be used under a budget. Set "
                f'[prices."{target.name}"] input and output in noria.toml.',
                param="model",
            )  # fmt: skip
        amount = wish.amount(wish.limit)
        if amount > 0:
            unbounded = request.unbounded(target.image_allowance)
            if unbounded is not None:
                field, why = unbounded
                raise ApiError(
                    400, "unbounded_cost",
                    f"{field} cannot be used under a money budget: {why}.",
                    param=field,
                )  # fmt: skip
            if target.image_allowance:
                wish.prompt += request.images() * target.image_allowance
                amount = wish.amount(wish.limit)
        return await self._purse.reserve(budgets, wish, amount)

    @staticmethod
    def _headers(record: CallRecord, target: Target) -> Headers:
        return [*_trace(record), (b"x-noria-model", target.name.encode())]


def authorise(key: Key, model: str) -> None:
    """Check that a key may use a model by the name it asks for.

    Raises:
        ApiError: 403 `model_not_allowed`.
    """
    if not may_use(key, model):
        raise ApiError(
            403, "model_not_allowed",
            f"This key may not use {model}. It may use: {', '.join(key.models or ())}.",
            param="model",
        )  # fmt: skip


def may_use(key: Key, model: str) -> bool:
    """Whether a key's list of models admits a name; `openai:*` admits all that begin so."""
    if key.models is None or model in key.models:
        return True
    return any(name.endswith("*") and model.startswith(name[:-1]) for name in key.models)


def _trace(record: CallRecord) -> Headers:
    return [(b"x-noria-trace", record.trace_id.encode())]
