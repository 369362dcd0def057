"""`POST /v1/feedback`: what somebody says of an answer, joined to the run that it came from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from noria.errors import ApiError
from noria.gateway.request import read_object

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from noria.gateway import Gateway
    from noria.store import Database, Key

__all__ = ["feedback_routes"]

_THUMBS = {"up": 1.0, "down": -1.0}
_LONGEST_COMMENT = 10_000


def feedback_routes(gateway: Gateway, db: Database) -> Sequence[BaseRoute]:
    """The route of feedback."""

    async def give(request: Request) -> Response:
        trace_id, score, comment = _read(await request.body())
        key: Key = request.state.key
        await _may_judge(gateway, db, key, trace_id)
        from noria.store.traces.feedback import add_feedback

        given = await asyncio.to_thread(add_feedback, db, key, trace_id, score, comment)
        told = {"id": given, "trace_id": trace_id, "score": score, "comment": comment}
        return Response(orjson.dumps(told), 201, media_type="application/json")

    return [Route("/v1/feedback", give, methods=["POST"])]


async def _may_judge(gateway: Gateway, db: Database, key: Key, trace_id: str) -> None:
    """Make sure that the trace is the key's own; an administrator may judge any."""
    from noria.store import trace_owner

    if await gateway.labels.join(key, trace_id) is not None:
        return
    if key.admin and await asyncio.to_thread(trace_owner, db, trace_id) is not None:
        return
    raise ApiError(404, "trace_not_found", f"This key has no trace {trace_id}.", param="trace_id")


def _read(body: bytes) -> tuple[str, float | None, str | None]:
    fields = read_object(body)
    unknown = fields.keys() - {"trace_id", "score", "comment"}
    if unknown:
        raise _unusable(min(unknown), "is no field of feedback: trace_id, score, comment")
    trace_id, score, comment = fields.get("trace_id"), fields.get("score"), fields.get("comment")
    if not isinstance(trace_id, str) or not trace_id or len(trace_id) > 64:
        raise _unusable("trace_id", "must be the x-noria-trace of an answer")
    if isinstance(score, str):
        score = _THUMBS.get(score, score)
    number = isinstance(score, (int, float)) and not isinstance(score, bool)
    if score is not None and not (number and -1 <= score <= 1):
        raise _unusable("score", 'must be a number from -1 to 1, or "up" or "down"')
    if comment is not None and (not isinstance(comment, str) or len(comment) > _LONGEST_COMMENT):
        raise _unusable("comment", f"must be a text of at most {_LONGEST_COMMENT} characters")
    if score is None and not comment:
        raise _unusable("score", "is missing, and so is comment: give one of them")
    return trace_id, None if score is None else float(score), comment or None


def _unusable(field: str, why: str) -> ApiError:
    return ApiError(422, "invalid_value", f"{field} {why}.", param=field)
