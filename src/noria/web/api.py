"""The API beside the models: what programs ask that is not a call of a model.

The door has checked the key before a request comes here; it stands in `request.state.key`. Every
refusal has OpenAI's shape.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from noria.errors import ApiError, NoriaError, NotFound, StoreUnavailable, internal_error
from noria.web.context import Context

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["build_api"]

_log = logging.getLogger(__name__)


def build_api(context: Context) -> Starlette:
    """The application that answers API requests which reach no model by themselves."""
    api = Starlette(
        routes=_routes(context),
        exception_handlers={
            ApiError: _refuse,
            NoriaError: _explain,
            HTTPException: _unknown,
            Exception: _fail,
        },
    )
    api.state.context = context
    return api


def _routes(context: Context) -> Sequence[BaseRoute]:
    """What there is, package by package."""
    return [*_telemetry(context), *_arena(context), *_apps(context)]


def _telemetry(context: Context) -> Sequence[BaseRoute]:
    from noria.telemetry import Receiver, receiving_routes

    if context.gateway is None:
        return []
    journal = context.gateway.journal
    return receiving_routes(Receiver(context.config, context.db, journal, context.take_in))


def _arena(context: Context) -> Sequence[BaseRoute]:
    from noria.evals.arena import Match
    from noria.evals.arena.api import routes

    if context.gateway is None:
        return []
    return routes(Match(context.db, context.gateway, context.config.arena))


def _apps(context: Context) -> Sequence[BaseRoute]:
    from noria.actions.mcp import action_tools
    from noria.apps.serve.routes import routes

    if context.gateway is None:
        return []
    return routes(context.gateway, context.db, action_tools(context.gateway))


async def _refuse(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, ApiError)
    headers = dict(failure.headers())
    return Response(
        orjson.dumps(failure.body()), failure.status, headers, media_type="application/json"
    )


async def _explain(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, NoriaError)
    if isinstance(failure, NotFound):
        return await _refuse(request, ApiError(404, "not_found", str(failure)))
    if isinstance(failure, StoreUnavailable):
        return await _refuse(
            request, ApiError(503, "store_unavailable", failure.message, retry_after=2)
        )
    return await _refuse(request, ApiError(400, "invalid_value", str(failure)))


async def _unknown(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, HTTPException)
    if failure.status_code == 405:
        error = ApiError(405, "method_not_allowed", f"Method {request.method} not allowed here.")
    else:
        error = ApiError(404, "unknown_url", f"There is no {request.url.path} here.")
    return await _refuse(request, error)


async def _fail(request: Request, failure: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=failure)
    return await _refuse(request, internal_error())
