"""Battles that were fought: both answers side by side, who won, and why some do not count."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from noria.errors import NotFound
from noria.web.render import context_of, in_thread, key_of, page

__all__ = ["routes"]

ROWS = 50
_FILTERS = ("source", "contestant", "excluded")


async def browse(request: Request) -> Response:
    """The newest battles that meet the filters of the address."""
    from noria.store.battles import excluded_by_reason, list_battles

    context, key, query = context_of(request), key_of(request), request.query_params
    found = await in_thread(
        list_battles,
        context.db,
        limit=ROWS + 1,
        before=query.get("cursor") or None,
        voter=None if key.admin else key.id,
        **{name: query.get(name) or None for name in _FILTERS},
    )
    reasons = await in_thread(excluded_by_reason, context.db, sources=("human", "judge", "shadow"))
    values = {
        "found": found[:ROWS],
        "next": found[ROWS - 1].id if len(found) > ROWS else None,
        "reasons": reasons,
        "contestants": context.config.arena.contestants,
        "filtered": any(query.get(name) for name in _FILTERS),
    }
    return page(request, "battles.html", values)


async def show(request: Request) -> Response:
    """One battle, turn by turn. Before its vote nobody may look: it would tell the names."""
    from noria.store.battles import find_battle

    identity = request.path_params["id"]
    battle = await in_thread(find_battle, context_of(request).db, identity)
    key = key_of(request)
    if battle.winner is None or not (key.admin or battle.voter == key.id):
        raise NotFound(f"There is no battle {identity}.", "The list of battles has them all.")
    return page(request, "battle.html", {"battle": battle})


routes = [Route("/battles", browse), Route("/battles/{id}", show)]
