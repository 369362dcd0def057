"""Functions over HTTP: `POST /apps/<app>/<function>` with the arguments as a JSON object."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from noria.apps.serve.routes.common import client_of, context_of, served
from noria.apps.serve.routes.openapi import document
from noria.errors import ApiError

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from noria.gateway import Gateway

__all__ = ["rest_routes"]

_JSON = "application/json"
_EVENTS = "text/event-stream"


def rest_routes(gateway: Gateway) -> Sequence[BaseRoute]:
    """The routes of the REST door."""

    async def call(request: Request) -> Response:
        app = served(gateway, request.path_params["app"])
        context = await context_of(gateway, request)
        stream = _EVENTS in request.headers.get("accept", "")
        key, body = request.state.key, await request.body()
        visit = app.visit(key, context, function=request.path_params["function"], stream=stream)
        headers = {"x-noria-trace": visit.trace}
        pieces = app.client.call(app, visit, key, body)
        try:
            if not stream:
                return Response(b"".join([piece async for piece in pieces]), 200, headers, _JSON)
            # What is refused before the first piece is an answer of its own.
            first = await anext(pieces)
        except ApiError as refusal:
            headers |= dict(refusal.headers())
            return Response(orjson.dumps(refusal.body()), refusal.status, headers, _JSON)
        return StreamingResponse(_all(first, pieces), 200, headers, _EVENTS)

    async def every(request: Request) -> Response:
        known = [one for one in client_of(gateway).apps() if one.functions]
        return _document(document(known, _base(request), "noria"))

    async def one(request: Request) -> Response:
        manifest = served(gateway, request.path_params["app"]).manifest
        return _document(document([manifest], _base(request), manifest.title))

    return [
        Route("/apps/openapi.json", every),
        Route("/apps/{app}/openapi.json", one),
        Route("/apps/{app}/{function}", call, methods=["POST"]),
    ]


async def _all(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _document(content: object) -> Response:
    return Response(orjson.dumps(content, option=orjson.OPT_INDENT_2), media_type=_JSON)
