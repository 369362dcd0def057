"""The one door to every model, without HTTP.

    authenticate -> authorise -> reserve -> route -> relay -> settle -> record

The fast HTTP lane and callers in the same process both come through `Gateway.call`, so that no
path goes round the rules.
"""

from __future__ import annotations

import asyncio

from noria.config import Config
from noria.errors import ApiError, RealRequestForbidden
from noria.gateway.attempt import Attempt, Failed
from noria.gateway.keyring import KeyRing
from noria.gateway.limits import Limits, Quota
from noria.gateway.purse import Hold, Purse, Wish
from noria.gateway.recorder import CallRecord
from noria.gateway.request import Endpoint, Request, read_request
from noria.gateway.routing import Breakers, backoff, order
from noria.gateway.sink import Headers, Sink
from noria.gateway.upstream import Upstreams
from noria.models import Catalogue, Route, Target
from noria.store import Journal, Key
from noria.types import Status

__all__ = ["Gateway", "may_use"]


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
    ) -> None:
        self.config = config
        self.catalogue = catalogue
        self.keys = keys
        self.breakers = Breakers(config.routing)
        self._purse = purse
        self._limits = limits
        self._journal = journal
        self._upstreams = upstreams

    async def call(self, endpoint: Endpoint, key: Key, raw: bytes, sink: Sink) -> None:
        """Answer one call into `sink`. Never raises for what a caller or an upstream does wrong.

        A caller who goes away cancels the task: the upstream is stopped, and what was generated
        until then is recorded and charged.
        """
        record = CallRecord(self._journal, endpoint, key, raw)
        record.content = self.config.recording.content and key.record_content
        try:
            request = record.request = read_request(endpoint, raw)
            route = self.catalogue.resolve(request.model)
            if route.record_content is False:
                record.content = False
            authorise(key, request.model)
            quota = Quota.of_key(key)
            estimate = len(raw) // 4
            self._limits.enter(quota, estimate)
        except ApiError as refusal:
            self._refuse(record, sink, refusal)
            return
        used = 0
        try:
            used = await self._answer(record, request, route, sink)
        finally:
            self._limits.leave(quota, max(used - estimate, -estimate))

    async def _answer(self, record: CallRecord, request: Request, route: Route, sink: Sink) -> int:
        """Try targets until one answers. Gives the tokens that were used."""
        last: Failed | None = None
        attempt: Attempt | None = None
        try:
            for target in order(route):
                breaker = self.breakers[target]
                if not breaker.allows():
                    last = last or Failed.resting(target)
                    continue
                for retry in range(self.config.routing.retries + 1):
                    if retry and last is not None:
                        seconds = backoff(
                            retry, self.config.routing.backoff_seconds, last.retry_after
                        )
                        await asyncio.sleep(seconds)
                    if attempt is not None and last is not None:
                        attempt.settle(last)
                        attempt = None
                    hold = await self._reserve(record, request, target)
                    attempt = Attempt(
                        record, request, target, hold, sink,
                        self._purse, self._limits, self._upstreams,
                    )  # fmt: skip
                    last = await attempt.run(self._headers(record, target))
                    if last is None:
                        breaker.succeeded()
                        return attempt.tokens
                    if last.is_targets_fault:
                        breaker.failed()
                    else:
                        breaker.succeeded()
                    if last.final or not last.retryable or breaker.open:
                        break
                if last is not None and (last.final or not last.elsewhere):
                    break
        except asyncio.CancelledError:
            if attempt is not None:
                attempt.cancelled()
            else:
                record.left()
            raise
        except ApiError as refusal:
            last = Failed(refusal)
        except RealRequestForbidden as forbidden:
            last = Failed(ApiError(500, "real_request_forbidden", str(forbidden)))
        assert last is not None
        if attempt is not None:
            attempt.fail(last)
        elif record.attempts:
            record.end(None, Status.ERROR, error=last.error)
        else:
            self._refuse(record, sink, last.error)
            return 0
        if attempt is None or not attempt.forwarded:
            sink.fail(_trace(record), last.error)
        return attempt.tokens if attempt is not None else 0

    async def _reserve(self, record: CallRecord, request: Request, target: Target) -> Hold:
        """Hold the most that one attempt can cost in every budget that applies."""
        budgets = await self._purse.budgets_for(record.key, request.model, target.name)
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
        if wish.amount(wish.limit) > 0:
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
        return await self._purse.reserve(budgets, wish)

    def _refuse(self, record: CallRecord, sink: Sink, refusal: ApiError) -> None:
        record.refused(refusal)
        sink.fail(_trace(record), refusal)

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
