"""The arena: what happens on the page is the work of `static/arena.js`, which talks to
`/v1/arena`. The page itself is told nothing that the voter may not know yet."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from noria.web.render import context_of, page

__all__ = ["CATEGORIES", "routes"]

CATEGORIES = (
    "writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities",
)  # fmt: skip
"""What a question can be about, in the words of the field's benchmarks."""


async def show(request: Request) -> Response:
    """An empty battle."""
    contestants = context_of(request).config.arena.contestants
    return page(request, "arena.html", {"contestants": contestants, "categories": CATEGORIES})


routes = [Route("/arena", show)]
