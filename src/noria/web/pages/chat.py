"""Talking with any model. What happens on the page is the work of `static/chat.js`, which calls
the same door as everybody else."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from noria.errors import ApiError
from noria.models.catalogue import Catalogue
from noria.web.render import context_of, in_thread, key_of, page

__all__ = ["routes"]


async def show(request: Request) -> Response:
    """The page, with the models that the key may chat with."""
    allowed = key_of(request).models
    names = list(allowed) if allowed is not None else context_of(request).catalogue.names()
    models = await in_thread(_that_chat, context_of(request).catalogue, names)
    return page(
        request, "chat.html", {"models": models, "wanted": request.query_params.get("model")}
    )


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


routes = [Route("/chat", show)]
