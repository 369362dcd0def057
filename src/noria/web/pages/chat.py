"""Talking with any model or application. What happens on the page is the work of
`static/chat.js`, which calls the same door as everybody else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from noria.apps.serve.manifest import Manifest, Phase
from noria.errors import ApiError
from noria.gateway.core import may_use
from noria.models.catalogue import Catalogue
from noria.store import Key
from noria.web.pages.apps import app_of, apps_of
from noria.web.render import context_of, in_thread, key_of, page

__all__ = ["routes"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A name that can be chatted with."""

    name: str
    app: str | None = None
    """The application that answers under it; None for a model."""
    checked: bool = False
    """Its answers are checked, which may end after they are there."""


async def show(request: Request) -> Response:
    """The page, with the models and the applications that the key may chat with."""
    key, catalogue = key_of(request), context_of(request).catalogue
    names = list(key.models) if key.models is not None else catalogue.names()
    models = await in_thread(_that_chat, catalogue, names)
    apps = _choices(key, apps_of(request).values())
    return page(
        request, "chat.html",
        {"apps": apps, "models": models, "app": None, "wanted": request.query_params.get("model")},
    )  # fmt: skip


async def with_app(request: Request) -> Response:
    """The page of one application."""
    app = app_of(request)
    if app.chat is None:
        raise HTTPException(404, f"{app.name} has no chat function.")
    apps = _choices(key_of(request), [app])
    return page(
        request, "chat.html",
        {"apps": apps, "models": [], "app": app, "wanted": request.query_params.get("model")},
    )  # fmt: skip


def _choices(key: Key, apps: Iterable[Manifest]) -> list[Choice]:
    return [
        Choice(name, app.name, bool(app.checks))
        for app in apps
        if app.chat is not None and app.state != Phase.STOPPED
        for name in (app.name, *(f"{app.name}@{variant}" for variant in app.variants))
        if may_use(key, name)
    ]


def _that_chat(catalogue: Catalogue, names: list[str]) -> list[str]:
    found = []
    for name in names:
        try:
            route = catalogue.resolve(name)
        except ApiError:
            continue  # its provider's key is not set: Models says so
        if route.targets[0].capabilities.chat:
            found.append(name)
    return found


routes = [
    Route("/chat", show),
    Route("/apps/{name}/chat", with_app),
]
