"""The arena's addresses under `/v1/arena`. The door has checked the key: `request.state.key`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from noria.errors import ApiError
from noria.evals.arena.battle_flow import Match, Said
from noria.gateway.request import read_object

if TYPE_CHECKING:
    from noria.store import Key

__all__ = ["routes"]


def routes(match: Match) -> list[Route]:
    """What the arena answers to."""

    async def begin(request: Request) -> Response:
        fields = await _fields(request)
        battle = await match.begin(
            _key(request),
            category=_text(fields, "category"),
            language=_text(fields, "language"),
        )
        return _json({"id": battle.id}, 201)

    async def ask(request: Request) -> Response:
        fields = await _fields(request)
        said = match.ask(_key(request), request.path_params["id"], _text(fields, "question"))
        try:
            first = await anext(said)
        except StopAsyncIteration:  # pragma: no cover - both sides always end
            return _json({})
        return StreamingResponse(
            _events(first, said),
            media_type="text/event-stream",
            headers={"cache-control": "no-store"},
        )

    async def vote(request: Request) -> Response:
        fields = await _fields(request)
        settled = await match.vote(
            _key(request), request.path_params["id"], _text(fields, "winner")
        )
        battle = settled.battle
        return _json(
            {
                "model_a": battle.model_a,
                "model_b": battle.model_b,
                "winner": battle.winner,
                "counts": battle.excluded is None,
                "excluded": battle.excluded,
                "ratings_before": settled.before,
                "ratings_after": settled.after,
                "traces": [[turn.trace_a, turn.trace_b] for turn in battle.turns],
            }
        )

    base = "/v1/arena/battles"
    return [
        Route(base, begin, methods=["POST"]),
        Route(base + "/{id}/turns", ask, methods=["POST"]),
        Route(base + "/{id}/vote", vote, methods=["POST"]),
    ]


async def _events(first: Said, said: AsyncIterator[Said]) -> AsyncIterator[bytes]:
    yield _event(first)
    async for one in said:
        yield _event(one)
    yield b"data: [DONE]\n\n"


def _event(said: Said) -> bytes:
    event: dict[str, Any] = {"side": said.side}
    if said.end is None:
        event["text"] = said.text
    else:
        event |= {"end": said.end, "error": said.error}
    return b"data: %b\n\n" % orjson.dumps(event)


def _key(request: Request) -> Key:
    key: Key = request.state.key
    return key


async def _fields(request: Request) -> dict[str, Any]:
    return read_object(await request.body() or b"{}")


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise ApiError(
            400, "invalid_value", f"{name} cannot be used: it must be a text.", param=name
        )
    return value


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
