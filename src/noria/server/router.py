"""The door of one worker process: who answers what comes in at its listening socket.

It decides which requests are calls of a model (they go to the core), which few questions it
answers itself (`/health`, `/v1/models`, `/metrics`), and hands everything else to the pages.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import orjson

from noria import __version__
from noria.errors import ApiError, internal_error
from noria.gateway.call import Call
from noria.gateway.core import Gateway, may_use
from noria.gateway.dialects import error_body
from noria.gateway.passing import Passing
from noria.http.asgi import ASGIApp, run_asgi
from noria.http.connection import Cancellable, ServerConnection
from noria.http.request import HTTPRequest, too_large
from noria.http.sink import Headers
from noria.http.unpacking import unpacked
from noria.ids import new_span_id, new_trace_id
from noria.models.endpoint import Endpoint
from noria.server.listing import described, listing
from noria.server.offers import Asked, not_offered, wire_of
from noria.server.tokens import count_tokens
from noria.store import Key
from noria.tracing.agents import SESSION_HEADERS, AgentSession, Sessions
from noria.tracing.headers import CONTEXT_HEADERS, context_from_headers

__all__ = ["Router"]

log = logging.getLogger("noria.door")

SESSION_COOKIE = "noria_session"
_AT_ONCE: Final = {
    b"/v1" + endpoint.path: endpoint for endpoint in (Endpoint.CHAT, Endpoint.EMBEDDINGS)
}
_UNUSUAL: Final = (
    *CONTEXT_HEADERS, *SESSION_HEADERS, b"content-encoding", b"x-noria-key"
)  # fmt: skip
"""Headers with which a call of a model is more than its key and its body."""
_MODELS: Final = (b"/v1/models", b"/v1beta/models", b"/v1alpha/models")
_BARE: Final = (
    b"/chat/completions", b"/embeddings", b"/completions", b"/responses", b"/messages", b"/rerank",
    b"/moderations", b"/audio", b"/images", b"/files", b"/batches",
)  # fmt: skip
"""Where clients ask whose base address lacks `/v1`."""
_FORM_BYTES: Final = 64 * 1024
"""The longest form of somebody who is not signed in."""
_ALLOWED_METHODS: Final = b"GET, POST, PUT, PATCH, DELETE, OPTIONS"
_ALLOWED_HEADERS: Final = b"authorization, content-type, x-api-key, api-key"
_SHOWN_HEADERS: Final = b", ".join(
    (
        b"x-request-id", b"x-noria-trace", b"x-noria-model", b"x-noria-cost-nano", b"retry-after",
        b"x-should-retry", b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests",
        b"x-ratelimit-reset-requests", b"x-ratelimit-limit-tokens",
        b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens", b"mcp-session-id",
    )
)  # fmt: skip
"""What a page of another origin may read of an answer's head."""


class Router:
    """Answers the requests of a worker.

    Args:
        gateway: the core, made in this process.
        pages: makes the ASGI application for everything that is not an API call; called at the
            first such request, so that a worker is open before the pages are loaded.
        metrics: gives the text of `/metrics`.
        engines: gives the local engines' states for `/health`.
    """

    def __init__(
        self,
        gateway: Gateway,
        pages: Callable[[], ASGIApp],
        metrics: Callable[[], bytes],
        engines: Callable[[], dict[str, Any]],
    ) -> None:
        self.gateway = gateway
        self._origins = frozenset(
            origin.lower().encode() for origin in gateway.config.server.origins
        )
        self._make_pages = pages
        self._pages: ASGIApp | None = None
        self._metrics = metrics
        self._engines = engines
        self._sessions = Sessions()
        self._most_body_bytes = gateway.config.limits.body_bytes
        self._started = time.monotonic()

    def take(self, incoming: HTTPRequest, lane: ServerConnection) -> Cancellable | None:
        """Begin to answer one request: a call of a model by a known key at once, without a task."""
        endpoint = _AT_ONCE.get(incoming.target)
        credential = incoming.credential()
        if self._origins:
            lane.extra = self._shared(incoming)
        if (
            endpoint is None
            or incoming.method != b"POST"
            or credential is None
            or incoming.has_any(_UNUSUAL)
            or (key := self.gateway.keys.recall(credential)) is None
        ):
            return self.gateway.loop.create_task(self._respond(incoming, lane))
        if not lane.known:
            lane.show_key()
        try:
            call = self.gateway.admit(endpoint, key, incoming.content(), lane)
            if call is None:
                return None
            if call.needs_task:
                task = self.gateway.loop.create_task(self._answer(call, incoming, lane))
                task.add_done_callback(lambda _: call.count_out())
                return task
            call.begin()
        except Exception:  # noqa: BLE001 - it is logged
            self._give_up(incoming, lane)
            return None
        return call

    def admit(self, incoming: HTTPRequest) -> Awaitable[object] | None:
        """Look at who sends a request before its body is gathered: a program shows its key, a
        browser its session; from anybody else comes a short form at most."""
        credential = incoming.credential()
        if credential is not None and self.gateway.keys.recall(credential) is not None:
            return None
        path = incoming.target.partition(b"?")[0]
        if credential is None:
            credential = _credential(incoming)
        if credential is not None or _is_api(incoming.method, path) or _session(incoming):
            if _lacks_version(path, credential) or path == b"/mcp/":
                raise self._nowhere(incoming, path)
            return self._authenticate(incoming, credential)
        length = incoming.header(b"content-length")
        if length is None or int(length) > _FORM_BYTES:
            raise too_large(_FORM_BYTES)
        return None

    def explain(self, incoming: HTTPRequest | None, error: ApiError) -> dict[str, Any]:
        """What a client is told of a failure, in its own dialect."""
        if incoming is None:
            return error.body()
        return error_body(wire_of(incoming, incoming.target.partition(b"?")[0]), error)

    def _shared(self, incoming: HTTPRequest) -> Headers:
        """What lets a page of another origin read an answer, where that origin is let in."""
        origin = incoming.header(b"origin")
        if origin is None or not self._lets_in(origin):
            return [(b"vary", b"origin")]
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _SHOWN_HEADERS),
            (b"vary", b"origin"),
        ]

    def _lets_in(self, origin: bytes) -> bool:
        return b"*" in self._origins or origin.lower() in self._origins

    def _preflight(self, incoming: HTTPRequest, lane: ServerConnection) -> None:
        """Answer what a browser asks before it lets a page of another origin call the API."""
        headers: Headers = []
        if b"access-control-allow-origin" in dict(lane.extra):
            asked = incoming.header(b"access-control-request-headers")
            headers = [
                (b"access-control-allow-methods", _ALLOWED_METHODS),
                (b"access-control-allow-headers", asked or _ALLOWED_HEADERS),
                (b"access-control-max-age", b"600"),
            ]
        lane.send(204, headers, b"")
        lane.done()

    @staticmethod
    def _nowhere(incoming: HTTPRequest, path: bytes) -> ApiError:
        """Nothing is at a path where clients look for an API."""
        said = path.decode("utf-8", "replace")
        host = (incoming.header(b"host") or b"HOST").decode("latin-1")
        if path == b"/mcp/":
            hint = f"MCP is served at http://{host}/mcp, without a slash at the end."
        elif path.startswith(b"/.well-known/"):
            hint = "noria has no sign-in for programs: send a key as 'Authorization: Bearer KEY'."
        else:
            hint = f"The base address of the API is http://{host}/v1, with /v1 at the end."
        return ApiError(404, "unknown_url", f"There is no {said} here. {hint}")

    async def _answer(self, call: Call, incoming: HTTPRequest, lane: ServerConnection) -> None:
        try:
            await call.run()
        except Exception:  # noqa: BLE001 - it is logged
            self._give_up(incoming, lane)

    @staticmethod
    def _give_up(incoming: HTTPRequest, lane: ServerConnection) -> None:
        """Something went wrong inside noria: say so in the log and to the client."""
        path = incoming.target.partition(b"?")[0].decode("latin-1")
        log.exception("%s %s failed", incoming.method.decode(), path)
        lane.give_up(internal_error())

    async def _respond(self, incoming: HTTPRequest, lane: ServerConnection) -> None:
        """Answer any request."""
        try:
            path = incoming.target.partition(b"?")[0]
            asked = Asked.of(incoming, path)
            if asked is None or incoming.method != b"POST":
                lane.extra = [*lane.extra, (b"x-request-id", new_trace_id(new_span_id()).encode())]
            if incoming.method == b"OPTIONS" and self._origins and _is_open_to_pages(path):
                self._preflight(incoming, lane)
            elif incoming.header(b"sec-websocket-key") is not None:
                message = "WebSockets are not served here; send the same as a POST over HTTP."
                lane.fail([(b"upgrade", b"HTTP/1.1")], ApiError(426, "upgrade_required", message))
            elif asked is not None:
                if incoming.method != b"POST":
                    raise _not_allowed(incoming, b"POST")
                key = await self._authenticate(incoming, _credential(incoming))
                if not lane.known:
                    lane.show_key()
                await self._call(asked, key, incoming, lane)
            elif path == b"/health":
                lane.answer([(b"cache-control", b"no-store")], orjson.dumps(self._health()))
            elif path == b"/metrics":
                text = await asyncio.to_thread(self._metrics)
                lane.send(200, [(b"content-type", b"text/plain; version=0.0.4")], text)
                lane.done()
            elif (refusal := not_offered(path)) is not None:
                await self._authenticate(incoming, _credential(incoming))
                raise refusal
            elif path.startswith(_MODELS) and (
                path in _MODELS or path.startswith(tuple(one + b"/" for one in _MODELS))
            ):
                await self._list_models(path, incoming, lane)
            elif path == b"/" and incoming.method == b"HEAD":
                lane.send(200, [], b"")  # as agents ask whether anybody is here
                lane.done()
            elif (
                _lacks_version(path, incoming.credential())
                or path == b"/mcp/"
                or path.startswith(b"/.well-known/")
            ):
                raise self._nowhere(incoming, path)
            else:
                state: dict[str, Any] = {}
                credential = incoming.credential()
                if _is_api(incoming.method, path) or _is_programs(credential, path):
                    state["key"] = await self._authenticate(incoming, credential)
                    if not lane.known:
                        lane.show_key()
                origin = incoming.header(b"origin")
                if (
                    path == b"/mcp"
                    and origin is not None
                    and not (_same_origin(incoming) or self._lets_in(origin))
                ):
                    raise ApiError(
                        403, "cross_origin",
                        "Pages of this origin may not call MCP; list it in [server] origins.",
                    )  # fmt: skip
                if self._pages is None:
                    self._pages = await asyncio.to_thread(self._make_pages)
                await run_asgi(self._pages, incoming, lane, state)
        except ApiError as refusal:
            lane.fail([], refusal)
        except Exception:  # noqa: BLE001 - it is logged
            self._give_up(incoming, lane)

    async def _call(
        self, asked: Asked, key: Key, incoming: HTTPRequest, lane: ServerConnection
    ) -> None:
        """Answer a call of a model."""
        raw = unpacked(
            incoming.content(), incoming.header(b"content-encoding"), self._most_body_bytes
        )
        if asked.counts:
            lane.answer([], await count_tokens(self.gateway, key, asked, raw))
            return
        context = await context_from_headers(self.gateway, key, incoming.header)
        if context is None:
            session = AgentSession.of(incoming.header)
            if session is not None:
                context = self._sessions.context(self.gateway, key, session)
        await self.gateway.call(
            asked.endpoint, key, asked.named(raw), lane, context, Passing.of(incoming)
        )

    async def _list_models(
        self, path: bytes, incoming: HTTPRequest, lane: ServerConnection
    ) -> None:
        """Which models there are, applications among them."""
        if incoming.method not in (b"GET", b"HEAD"):
            raise _not_allowed(incoming, b"GET")
        key = await self._authenticate(incoming, _credential(incoming))
        catalogue, applications = self.gateway.catalogue, self.gateway.applications
        wire = wire_of(incoming, path)
        if path in _MODELS:
            names = catalogue.names() + (applications.names() if applications else [])
            names = [
                name
                for name in names
                if may_use(key, name) and catalogue.label_of(name) <= key.clearance
            ]
            lane.answer([], orjson.dumps(listing(wire, names)))
            return
        name = unquote_to_bytes(path.partition(b"/models/")[2]).decode("utf-8", "replace")
        full = catalogue.full_name(name)
        if applications is None or applications.find(full) is None:
            catalogue.resolve(full)
        lane.answer([], orjson.dumps(described(wire, name)))

    async def _authenticate(self, incoming: HTTPRequest, credential: bytes | None) -> Key:
        keys = self.gateway.keys
        if credential is not None:
            return keys.recall(credential) or await keys.look_up(credential)
        secret = _session(incoming)
        if secret is not None:
            if not _same_origin(incoming):
                raise ApiError(
                    403, "cross_origin", "A session may only be used by noria's own pages."
                )
            return await keys.look_up_session(secret)
        return await keys.look_up(None)

    def _health(self) -> dict[str, Any]:
        return {
            "status": "ok",
            "version": __version__,
            "uptime_seconds": round(time.monotonic() - self._started, 1),
            "engines": self._engines(),
            "resting_targets": sorted(self.gateway.breakers.open_targets()),
        }


def _is_api(method: bytes, path: bytes) -> bool:
    """Whether a request is a program's and not a browser's for a page."""
    if path.startswith((b"/v1/", b"/v1beta/", b"/v1alpha/")) or path == b"/mcp":
        return True
    if not path.startswith(b"/apps/"):
        return False
    return method not in (b"GET", b"HEAD") or path.endswith(b"/openapi.json")


def _is_programs(credential: bytes | None, path: bytes) -> bool:
    """Whether a request shows a key, which no page asks for. A proxy before the pages may have its
    own kind of credential."""
    return (
        credential is not None
        and credential[:7].lower() == b"bearer "
        and not path.startswith(b"/static/")
    )


def _lacks_version(path: bytes, credential: bytes | None) -> bool:
    """Whether a path is one of OpenAI's API without the `/v1` before it. Where a page has the same
    path, it is if a program asks."""
    if path.startswith(_BARE):
        return path in _BARE or path.startswith(tuple(one + b"/" for one in _BARE))
    return path.startswith((b"/models", b"/traces", b"/logs")) and _is_programs(credential, path)


def _is_open_to_pages(path: bytes) -> bool:
    """Whether pages of other origins may ask for a path, if theirs is let in."""
    return path.startswith((b"/v1/", b"/v1beta/", b"/apps/")) or path in (b"/mcp", b"/health")


def _credential(incoming: HTTPRequest) -> bytes | None:
    """What says who is asking; Google's clients may say it behind `?`."""
    credential = incoming.credential()
    if credential is None:
        _, _, query = incoming.target.partition(b"?")
        for field in query.split(b"&"):
            if field.startswith(b"key="):
                return b"Bearer " + unquote_to_bytes(field[4:])
    return credential


def _not_allowed(incoming: HTTPRequest, method: bytes) -> ApiError:
    return ApiError(
        405, "method_not_allowed",
        f"Method {incoming.method.decode('latin-1')} not allowed here; use {method.decode()}.",
    )  # fmt: skip


def _session(incoming: HTTPRequest) -> str | None:
    cookie = incoming.header(b"cookie")
    if cookie is None:
        return None
    try:
        morsel = SimpleCookie(cookie.decode("latin-1")).get(SESSION_COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None


def _same_origin(incoming: HTTPRequest) -> bool:
    """Whether a browser says that the request comes from a page of this very server."""
    site = incoming.header(b"sec-fetch-site")
    if site is not None:
        return site == b"same-origin"
    origin, host = incoming.header(b"origin"), incoming.header(b"host")
    return origin is not None and origin.partition(b"://")[2] == host
