"""The door of one worker process: who answers what comes in at its listening socket.

It decides which requests are calls of a model (they go to the core), which few questions it
answers itself (`/health`, `/v1/models`, `/metrics`), and hands everything else to the pages.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import orjson

from noria import __version__
from noria.errors import ApiError, internal_error
from noria.gateway.call import Call
from noria.gateway.core import Gateway, may_use
from noria.http.asgi import ASGIApp, run_asgi
from noria.http.connection import Cancellable, ServerConnection
from noria.http.request import HTTPRequest
from noria.models.endpoint import Endpoint
from noria.store import Key
from noria.tracing.headers import CONTEXT_HEADERS, context_from_headers

__all__ = ["Router"]

log = logging.getLogger("noria.door")

SESSION_COOKIE = "noria_session"
_CALLS: Final = {b"/v1" + endpoint.path: endpoint for endpoint in Endpoint}


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
        self._make_pages = pages
        self._pages: ASGIApp | None = None
        self._metrics = metrics
        self._engines = engines
        self._started = time.monotonic()

    def take(self, incoming: HTTPRequest, lane: ServerConnection) -> Cancellable | None:
        """Begin to answer one request: a call of a model by a known key at once, without a task."""
        endpoint = _CALLS.get(incoming.target)
        credential = incoming.header(b"authorization")
        if (
            endpoint is None
            or incoming.method != b"POST"
            or credential is None
            or incoming.has_any(CONTEXT_HEADERS)
            or (key := self.gateway.keys.recall(credential)) is None
        ):
            return self.gateway.loop.create_task(self._respond(incoming, lane))
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
            endpoint = _CALLS.get(path)
            if endpoint is not None:
                if incoming.method != b"POST":
                    raise _not_allowed(incoming, b"POST")
                credential = incoming.header(b"authorization")
                key = self.gateway.keys.recall(credential) if credential else None
                if key is None:
                    key = await self._authenticate(incoming, credential)
                context = await context_from_headers(self.gateway, key, incoming.header)
                await self.gateway.call(endpoint, key, incoming.content(), lane, context)
            elif path == b"/health":
                lane.answer([(b"cache-control", b"no-store")], orjson.dumps(self._health()))
            elif path == b"/metrics":
                text = await asyncio.to_thread(self._metrics)
                lane.send(200, [(b"content-type", b"text/plain; version=0.0.4")], text)
                lane.done()
            elif path == b"/v1/models" or path.startswith(b"/v1/models/"):
                await self._list_models(path, incoming, lane)
            else:
                state: dict[str, Any] = {}
                if _is_api(incoming.method, path):
                    credential = incoming.header(b"authorization")
                    state["key"] = await self._authenticate(incoming, credential)
                if self._pages is None:
                    self._pages = await asyncio.to_thread(self._make_pages)
                await run_asgi(self._pages, incoming, lane, state)
        except ApiError as refusal:
            lane.fail([], refusal)
        except Exception:  # noqa: BLE001 - it is logged
            self._give_up(incoming, lane)

    async def _list_models(
        self, path: bytes, incoming: HTTPRequest, lane: ServerConnection
    ) -> None:
        """Which models there are, applications among them."""
        if incoming.method not in (b"GET", b"HEAD"):
            raise _not_allowed(incoming, b"GET")
        credential = incoming.header(b"authorization")
        key = await self._authenticate(incoming, credential)
        catalogue, applications = self.gateway.catalogue, self.gateway.applications
        if path == b"/v1/models":
            names = catalogue.names() + (applications.names() if applications else [])
            names = [name for name in names if may_use(key, name)]
            listing = {"object": "list", "data": [_model(name) for name in names]}
            lane.answer([], orjson.dumps(listing))
            return
        name = unquote_to_bytes(path.removeprefix(b"/v1/models/")).decode("utf-8", "replace")
        if applications is None or applications.find(name) is None:
            catalogue.resolve(name)
        lane.answer([], orjson.dumps(_model(name)))

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
    if path.startswith(b"/v1/") or path == b"/mcp":
        return True
    if not path.startswith(b"/apps/"):
        return False
    return method not in (b"GET", b"HEAD") or path.endswith(b"/openapi.json")


def _model(name: str) -> dict[str, Any]:
    owner = name.partition(":")[0] if ":" in name else "noria"
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


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
