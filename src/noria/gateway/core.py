"""The one door to every model, without HTTP.

    authenticate -> authorise -> reserve -> route -> relay -> settle -> record

The fast HTTP lane and callers in the same process both come through `Gateway.call`, so that no
path goes round the rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from noria.config import Config
from noria.errors import ApiError
from noria.gateway.adaptations import Adaptations
from noria.gateway.budgets import BudgetLeases
from noria.gateway.call import Call
from noria.gateway.call_record import CallRecord
from noria.gateway.group_commit import GroupCommit
from noria.gateway.key_cache import KeyCache
from noria.gateway.passing import NOTHING, Passing
from noria.gateway.prompt_bounds import PromptBounds
from noria.gateway.rate_limits import Limits, Quota
from noria.gateway.request import Request, check_limit, read_request, refuse_tokens
from noria.gateway.routing import Breakers
from noria.gateway.translating import as_chat, translate
from noria.http.client import HTTPClient
from noria.http.sink import ResponseSink
from noria.models import Catalogue, Route
from noria.models.catalogue import UNLISTED
from noria.models.endpoint import Endpoint
from noria.store import Journal, Key
from noria.tracing import CallContext, TraceLabels

__all__ = ["Application", "Applications", "Gateway", "authorise", "may_use"]


class Application(Protocol):
    """Something that answers under a model's name of its own, and makes its own calls."""

    async def answer(
        self, request: Request, key: Key, sink: ResponseSink, context: CallContext | None
    ) -> None:
        """Answer one chat call into `sink`; failures go into `sink` too.

        Args:
            request: the call as it was read.
            key: who asks.
            sink: where the answer goes.
            context: the run that it is a part of; None begins one.
        """


class Applications(Protocol):
    """Knows the applications: what a higher floor plugs into the gateway."""

    def find(self, model: str) -> Application | None:
        """The application that answers to a model's name."""

    def names(self) -> list[str]:
        """Every name that is answered to."""


class Gateway:
    """Answers calls, keeps the rules, writes the record. One for each process."""

    def __init__(
        self,
        config: Config,
        catalogue: Catalogue,
        keys: KeyCache,
        leases: BudgetLeases,
        limits: Limits,
        journal: Journal,
        upstreams: HTTPClient,
        labels: TraceLabels,
    ) -> None:
        self.config = config
        # What each call needs of it is read once: a field of pydantic's takes ten times as long.
        self._records_content = config.recording.content
        self.default_max_tokens = config.routing.default_max_tokens
        self.hold_portion = config.routing.hold_portion
        self.prompt_bounds = PromptBounds()
        self._leave_out = tuple(config.routing.leave_out)
        self.total_seconds = config.routing.total_seconds
        self.unanswered = config.routing.unanswered
        self.loop = asyncio.get_running_loop()
        self.journal = journal
        self.labels = labels
        self.applications: Applications | None = None
        self.catalogue = catalogue
        self.keys = keys
        self.breakers = Breakers(config.routing)
        self.adaptations = Adaptations()
        self.leases = leases
        self.limits = limits
        self.upstreams = upstreams
        self.group_commit = GroupCommit(journal)

    async def call(
        self,
        endpoint: Endpoint,
        key: Key,
        raw: bytes,
        sink: ResponseSink,
        context: CallContext | None = None,
        passing: Passing = NOTHING,
    ) -> None:
        """Answer one call into `sink`. Never raises for what a caller or an upstream does wrong.

        A caller who goes away cancels the task: the upstream is stopped, and what was generated
        until then is recorded and charged.

        Args:
            endpoint: which call.
            key: who pays.
            raw: the request's JSON.
            sink: where the answer goes.
            context: the run that the call is a part of; None begins a trace of its own.
            passing: what goes on to a provider of the caller's dialect.
        """
        call = self.admit(endpoint, key, raw, sink, context, passing)
        if call is not None:
            await call.run()

    def admit(
        self,
        endpoint: Endpoint,
        key: Key,
        raw: bytes,
        sink: ResponseSink,
        context: CallContext | None = None,
        passing: Passing = NOTHING,
    ) -> Call | None:
        """Read a call and let it in, for the caller to `begin` or to `run`; the same as in `call`.

        Returns: None when it was refused, which `sink` was told.
        """
        content = self._records_content and key.record_content
        if context is not None:
            content = content and context.content
        record = CallRecord(self.journal, endpoint, key, raw, content, context)
        quota = None
        try:
            request = record.request = read_request(endpoint, raw)
            request.passing = passing
            applications = self.applications
            application = applications.find(request.model) if applications else None
            route = None
            if application is None:
                record.counted_as = UNLISTED
                if ":" not in request.model or endpoint.wire != "chat":
                    request.model = self.catalogue.full_name(request.model)
                route = self.catalogue.resolve(request.model)
                record.counted_as = self.catalogue.counted_as(request.model)
                if not endpoint.is_chat and route.targets[0].local:
                    refuse_tokens(request)
                if endpoint.wire != "chat" or route.foreign:
                    translate(request, route.targets, self._leave_out)
                if route.record_content is False:
                    record.content = False
                if request.unlimited:
                    check_limit(request, route.targets)
                if route.label > key.clearance:
                    raise _not_cleared(key, route)
            elif endpoint.wire != "chat":
                request, sink = as_chat(request, sink)
            if key.models is not None and (context is None or context.app is None):
                authorise(key, request.model)  # else the key was let into the application
            quota, counted = Quota.of_key(key), None
            if quota is not None:
                within = context is not None and context.counted
                counted = self.limits.count_in(quota, request.prompt_bytes // 4, within=within)
                record.quota_headers = self.limits.left(quota)
        except ApiError as refusal:
            if quota is not None:
                record.quota_headers = self.limits.left(quota)
            record.refused(refusal)
            sink.fail(record.headers(), refusal)
            return None
        return Call(self, record, request, sink, counted, route, application)

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
        if quota is None:
            yield
            return
        self.limits.enter(quota, tokens)
        try:
            yield
        finally:
            self.limits.leave(quota, -tokens)


def _not_cleared(key: Key, route: Route) -> ApiError:
    return ApiError(
        403, "label_exceeds_clearance",
        f"{route.name} learned from data labelled {route.label}, and this key is cleared for "
        f"{key.clearance} only.",
        param="model",
    )  # fmt: skip


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
