"""A conversation that the server keeps: what was asked and answered, each with its run."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from noria.web.render import context_of, in_thread, key_of, page
from noria.web.run.transcript import Room

__all__ = ["routes"]


async def show(request: Request) -> Response:
    """The latest turns of a conversation of one's own; administrators see everybody's."""
    from noria.store.traces.conversations import find_conversation

    key, query = key_of(request), request.query_params
    owner = query.get("key") if key.admin and query.get("key") else key.id
    name = query.get("id") or ""
    found = await in_thread(find_conversation, context_of(request).db, str(owner), name)
    if found is None:
        raise HTTPException(404, "There is no conversation of this name.")
    room = Room(70_000)
    readable = found.label <= key.clearance
    turns = []
    # The latest are read first: if there is no room for all, these are what is looked for.
    for turn in reversed(found.turns if readable else ()):
        said = [room.take(text, 8_000) for text in (turn.question, turn.answer)]
        turns.append((turn, said))
    values = {"conversation": found, "turns": turns[::-1], "readable": readable}
    return page(request, "conversation.html", values)


routes = [Route("/conversations", show)]
