"""The application: routes, what stands before them, and what is said when something fails."""

from __future__ import annotations

import logging
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from noria.errors import NoriaError, NotFound, StoreUnavailable
from noria.web.assets import Assets
from noria.web.context import Context
from noria.web.guard import Guard
from noria.web.pages import (
    apps,
    arena,
    battles,
    chat,
    conversations,
    datasets,
    deployments,
    evaluations,
    indexes,
    judges,
    keys,
    label,
    leaderboard,
    models,
    overview,
    signin,
    spend,
    trace,
    traces,
    tuning,
)
from noria.web.render import Renderer, page

__all__ = ["build"]

# A form has a few short fields; anything larger is not one of ours.
_FORM_BYTES = 64 * 1024
_log = logging.getLogger(__name__)


def build(context: Context) -> Starlette:
    """The application that serves the pages of one installation."""
    assets = Assets()
    routes = [
        Route("/static/{path:path}", assets.serve, methods=["GET"], name="static"),
        *signin.routes,
        *overview.routes,
        *chat.routes,
        *apps.routes,
        *indexes.routes,
        *traces.routes,
        *trace.routes,
        *conversations.routes,
        *spend.routes,
        *arena.routes,
        *leaderboard.routes,
        *battles.routes,
        *evaluations.routes,
        *judges.routes,
        *datasets.routes,
        *deployments.routes,
        *label.routes,
        *keys.routes,
        *models.routes,
        *tuning.routes,
    ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(GZipMiddleware, minimum_size=1024, compresslevel=5),
            Middleware(Guard, context=context),
            Middleware(Failures),
        ],
        exception_handlers={
            HTTPException: _http_error,
            NoriaError: _noria_error,
        },
        max_body_size=_FORM_BYTES,
    )
    app.state.context = context
    app.state.renderer = Renderer(context, assets)
    return app


_TITLES = {
    403: "You may not see this",
    404: "There is nothing here",
    405: "That cannot be done here",
    413: "That is too large",
}


async def _http_error(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, HTTPException)
    detail = failure.detail if isinstance(failure.detail, str) else ""
    if detail == HTTPStatus(failure.status_code).phrase:
        detail = ""  # the title says it already
    return _error(request, failure.status_code, detail, None, failure.headers)


async def _noria_error(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, NoriaError)
    status = 404 if isinstance(failure, NotFound) else 400
    if isinstance(failure, StoreUnavailable):
        status = 503
    return _error(request, status, failure.message, failure.remedy)


class Failures:
    """Answers what nobody expected with a page that tells nothing; the log has the details."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watch(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            if begun or scope["type"] != "http":
                raise
            _log.exception("a page failed: %s", scope["path"])
            answer = _error(
                Request(scope),
                500,
                "noria failed while it made this page. What went wrong stands in the server's log.",
                "Try again; if it stays, `noria doctor` looks for the cause.",
            )
            await answer(scope, receive, send)


def _error(
    request: Request,
    status: int,
    message: str,
    remedy: str | None,
    headers: object = None,
) -> Response:
    title = _TITLES.get(status, "The store is away" if status == 503 else "Something went wrong")
    response = page(
        request,
        "error.html",
        {"status": status, "title": title, "message": message, "remedy": remedy},
        status=status,
    )
    if isinstance(headers, dict):
        response.headers.update(headers)
    return response
