"""The doors' side of applications: finds them in the home's directory and calls their processes.

A door never loads an application's code. It sends the call over loopback to the application's
process, under the home's secret, and passes the answer on as it comes.
"""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import orjson

from noria.apps.serve.envelope import CallEnvelope
from noria.apps.serve.manifest import Manifest, Phase, app_secret, read_apps
from noria.apps.serve.revisions import (
    falls_to_canary,
    read_routes,
    revision_home,
    unit_of,
)
from noria.errors import ApiError, StoreUnavailable
from noria.gateway.core import Applications, Gateway, authorise
from noria.gateway.local_client import collect
from noria.gateway.request import Request
from noria.gateway.routing import parse_retry_after
from noria.http.client import HTTPClient
from noria.http.client_connection import Ending, Exchange, UpstreamFailure
from noria.http.sink import BufferedSink, Headers, ResponseSink
from noria.models.catalogue import Upstream
from noria.store import Key
from noria.tracing import ActiveSpan, CallContext, Trace
from noria.types import SpanKind

__all__ = ["AppClient", "Served"]

_FOREVER = float("inf")
_LONGEST_CONVERSATION = 200
_DEEPEST = 8
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Served:
    """An application, or a variant of it, and what answers for it."""

    client: AppClient
    manifest: Manifest
    variant: str | None

    @property
    def name(self) -> str:
        """What it was called by: `app` or `app@variant`."""
        return f"{self.manifest.name}@{self.variant}" if self.variant else self.manifest.name

    async def answer(
        self, request: Request, key: Key, sink: ResponseSink, context: CallContext | None
    ) -> None:
        """Answer a chat call. What `noria.gateway.Application` asks for."""
        try:
            visit = self.visit(key, context, stream=request.stream)
        except ApiError as refusal:
            sink.fail([], refusal)
            return
        await self.client.forward(self, visit, key, request.raw, sink)

    def visit(self, key: Key, context: CallContext | None, **more: Any) -> CallEnvelope:
        """A call of this application.

        Args:
            key: who calls.
            context: the run that it is a part of; None begins one.
            **more: what else the visit says.

        Raises:
            ApiError: 400, the conversation's name cannot be used.
        """
        trace = context.trace if context is not None else Trace(key)
        conversation = context.conversation if context is not None else None
        if conversation is not None and len(conversation) > _LONGEST_CONVERSATION:
            raise ApiError(
                400, "invalid_value",
                f"x-noria-conversation has over {_LONGEST_CONVERSATION} characters.",
                param="x-noria-conversation",
            )  # fmt: skip
        depth = context.depth + 1 if context is not None and context.app is not None else 0
        if depth > _DEEPEST:
            raise ApiError(
                400, "apps_too_deep",
                f"{self.name} was called by an application inside {_DEEPEST} others. Do they call "
                "each other?",
            )  # fmt: skip
        return CallEnvelope(
            self.manifest.name,
            key.id,
            trace.id,
            int(trace.mark),
            context.span_id if context is not None else None,
            conversation,
            variant=self.variant,
            depth=depth,
            **more,
        )


class AppClient(Applications):
    """All applications of a home, as one process of it reaches them."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._home = gateway.config.home
        forever = dict.fromkeys(("first_byte_seconds", "stall_seconds", "total_seconds"), _FOREVER)
        self._upstreams = HTTPClient(gateway.config.routing.model_copy(update=forever))
        self._authorization = (b"authorization", b"Bearer " + app_secret(self._home).encode())

    def apps(self) -> list[Manifest]:
        """Every application that is served, by name."""
        return [one for one in self._directory().values() if one.state != Phase.STOPPED]

    def _directory(self) -> Mapping[str, Manifest]:
        """Every application by name; of a deployed one the revision that answers."""
        own, routes = read_apps(self._home), read_routes(self._home)
        if not routes:
            return own
        deployed = {
            app: known
            for app, routed in routes.items()
            if (known := self._revision(app, routed.revision)) is not None
        }
        return {**own, **deployed}

    def _revision(self, app: str, revision: str) -> Manifest | None:
        return read_apps(revision_home(self._home, revision)).get(app)

    def _chosen(
        self, visit: CallEnvelope, body: bytes, manifest: Manifest
    ) -> tuple[Manifest, CallEnvelope]:
        """The revision that a call falls to, and the call with what it was drawn by."""
        routed = read_routes(self._home).get(visit.app)
        if routed is None or routed.canary is None:
            return manifest, visit
        unit = unit_of(visit.key, visit.trace, visit.conversation, body)
        visit = replace(visit, unit=unit)
        if not falls_to_canary(unit, routed.canary, routed.share):
            return manifest, visit
        canary = self._revision(visit.app, routed.canary)
        # One that is not there yet is given nothing; one that died answers for itself.
        if canary is None or (canary.state == Phase.STARTING and canary.pid is None):
            return manifest, replace(visit, unit=None)
        return canary, visit

    def names(self) -> list[str]:
        names: list[str] = []
        for manifest in self.apps():
            if manifest.chat is not None:
                names.append(manifest.name)
                names += [f"{manifest.name}@{variant}" for variant in manifest.variants]
        return names

    def find(self, model: str) -> Served | None:
        if ":" in model and "@" not in model:
            return None  # the name of a model
        name, at, variant = model.partition("@")
        manifest = self._directory().get(name)
        if manifest is None or manifest.state == Phase.STOPPED:
            return None
        if at and manifest.functions and variant not in manifest.variants:
            known = ", ".join(f"{name}@{one}" for one in manifest.variants) or "none"
            raise ApiError(
                404, "variant_not_found", f"{name} has no variant {variant!r}. It has: {known}.",
                param="model",
            )  # fmt: skip
        return Served(self, manifest, variant if at else None)

    def get(self, name: str) -> Served:
        """The application of a name, or its variant.

        Raises:
            ApiError: 404 `app_not_found` (says near names) or `variant_not_found`.
        """
        served = self.find(name)
        if served is None:
            known = [manifest.name for manifest in self.apps()]
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known
            hint = f" There is: {', '.join(near)}." if near else " None is served here."
            raise ApiError(404, "app_not_found", f"There is no application {name!r}.{hint}")
        return served

    async def call(
        self, served: Served, visit: CallEnvelope, key: Key, body: bytes
    ) -> AsyncIterator[bytes]:
        """Call a function from a door that is not the chat door; gives the answer as it comes.
        Leaving early cancels the run.

        Raises:
            ApiError: the key may not use the application or is over its limits, or the run was
                refused or failed.
        """
        with ExitStack() as stack:
            try:
                authorise(key, served.name)
                estimate = len(body) // _BYTES_PER_TOKEN
                stack.enter_context(self._gateway.counting(key, estimate))
            except ApiError as refusal:
                self._record(served, visit, key, body, refusal)
                raise
            sink = BufferedSink()
            async for piece in collect(self.forward(served, visit, key, body, sink), sink):
                yield piece

    async def forward(
        self, served: Served, visit: CallEnvelope, key: Key, body: bytes, sink: ResponseSink
    ) -> None:
        """Send one call to an application's process and its answer into a sink."""
        trace = visit.trace.encode()
        headers: Headers = [(b"x-noria-trace", trace), (b"x-request-id", trace)]
        manifest, visit = self._chosen(visit, body, served.manifest)
        packed = visit.pack(body)
        begun = False
        exchange: Exchange | None = None

        def pass_on(data: bytes) -> None:
            nonlocal begun
            if not begun:
                begun = True
                assert exchange is not None
                sink.begin(headers, exchange)
            sink.write(data)

        upstream = self._upstream(manifest)
        reused = True
        while True:
            try:
                ended = Ending()
                exchange = self._upstreams.send(
                    upstream, b"POST", b"/", packed, pass_on, ended.tell, fresh=not reused
                )
                await ended.wait()
                answer = exchange.body
                break
            except UpstreamFailure as failure:
                # A process says at once that it has a call. A connection that was closed before
                # that was an old one, and nothing has run.
                unheard = exchange is None or not exchange.started
                if unheard and reused and exchange is not None and not exchange.fresh:
                    reused, exchange = False, None
                    continue
                error = _unreachable(served, failure, begun, unheard)
                if begun:
                    sink.finish(b"data: %b\n\n" % orjson.dumps(error.body()))
                else:
                    if unheard:
                        self._record(served, visit, key, body, error)
                    sink.fail(headers, error)
                return
            except BaseException:
                if exchange is not None:
                    exchange.cancel()
                raise
        if exchange.streaming:
            if not begun:
                sink.begin(headers, exchange)
            sink.finish(b"")
        elif exchange.status == 200:
            sink.answer(headers, answer)
        else:
            error = _said(exchange, answer)
            if error.code == "app_unavailable":
                self._record(served, visit, key, body, error)
            sink.fail(headers, error)

    def _upstream(self, manifest: Manifest) -> Upstream:
        return Upstream(False, "127.0.0.1", manifest.port, "", (self._authorization,), False)

    def _record(
        self, served: Served, visit: CallEnvelope, key: Key, body: bytes, error: ApiError
    ) -> None:
        """Record a call that no process of the application has seen."""
        app, content = served.manifest.name, self._gateway.config.recording.content
        context = CallContext(
            self._gateway,
            Trace(key, visit.trace),
            visit.parent,
            app,
            content and key.record_content and served.manifest.record_content,
        )
        name = f"{app}.{visit.function}" if visit.function else app
        work = ActiveSpan(context, SpanKind.APP, name, request=body, stream=visit.stream)
        if visit.variant:
            work.attributes["variant"] = visit.variant
        try:
            work.end(error)
        except StoreUnavailable:
            return  # it spent nothing, and the caller still learns of it

    def close(self) -> None:
        """Drop every connection."""
        self._upstreams.close()


def _unreachable(served: Served, failure: UpstreamFailure, begun: bool, unheard: bool) -> ApiError:
    name = served.manifest.name
    if failure.code == "upstream_too_large":
        return ApiError(502, "upstream_too_large", f"The answer of {name} has over 64 MiB.")
    if begun:
        return ApiError(502, "app_died", f"The process of {name} ended in mid-answer.")
    if not unheard:
        return ApiError(502, "app_died", f"The process of {name} ended before it answered.")
    return ApiError(
        503, "app_unavailable", f"{name} cannot be reached. {failure.message}", retry_after=1
    )


def _said(exchange: Exchange, answer: bytes) -> ApiError:
    """An application's refusal, as it said it."""
    try:
        error = orjson.loads(answer)["error"]
        return ApiError(
            exchange.status,
            error["code"],
            error["message"],
            param=error["param"],
            retry_after=round(parse_retry_after(exchange.retry_after) or 0) or None,
        )
    except (ValueError, KeyError, TypeError):
        return ApiError(502, "app_failed", "The application's answer cannot be read.")
