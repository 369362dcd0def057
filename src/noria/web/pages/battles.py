"""Battles that were fought: both answers side by side, who won, and why some do not count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from noria.errors import NotFound
from noria.types import Label
from noria.web.render import context_of, in_thread, key_of, must_be_admin, page

if TYPE_CHECKING:
    from noria.store.evals.battles import Battle

__all__ = ["routes"]

ROWS = 50
_FILTERS = ("source", "contestant", "excluded")


async def browse(request: Request) -> Response:
    """The newest battles that meet the filters of the address."""
    from noria.store.evals.battles import list_battles
    from noria.store.evals.pair_counts import excluded_by_reason

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
    from noria.store.evals.battles import find_battle

    identity = request.path_params["id"]
    battle = await in_thread(find_battle, context_of(request).db, identity)
    key = key_of(request)
    if battle.winner is None or not (key.admin or battle.voter == key.id):
        raise NotFound(f"There is no battle {identity}.", "The list of battles has them all.")
    return page(
        request, "battle.html", {"battle": battle, "readable": await _may_read(request, battle)}
    )


async def _may_read(request: Request, battle: Battle) -> bool:
    """Whether who looks is cleared for what was read for the answers."""
    from noria.store import marks_of

    traces = [trace for one in battle.turns for trace in (one.trace_a, one.trace_b) if trace]
    marks = await in_thread(marks_of, context_of(request).db, traces)
    return max(marks.values(), default=Label.PUBLIC) <= key_of(request).clearance


async def compare(request: Request) -> Response:
    """The next battle that waits for a person, without its names."""
    must_be_admin(request)
    from noria.store.evals.battles import next_waiting

    battle = await in_thread(next_waiting, context_of(request).db, key_of(request).clearance)
    return page(request, "compare.html", {"battle": battle})


async def decide(request: Request) -> Response:
    """A person's vote on a battle that waited; then the next one."""
    must_be_admin(request)
    from noria.store.evals.battles import WINNERS, vote

    form = await request.form()
    winner = str(form.get("winner", ""))
    if winner not in WINNERS:
        raise HTTPException(400, f"winner must be one of {', '.join(WINNERS)}.")
    identity, key = request.path_params["id"], key_of(request)
    await in_thread(vote, context_of(request).db, identity, key.id, winner, None)
    return RedirectResponse(f"/battles/{identity}", 303)


routes = [
    Route("/battles", browse),
    Route("/battles/next", compare),
    Route("/battles/{id}", show),
    Route("/battles/{id}/vote", decide, methods=["POST"]),
]
