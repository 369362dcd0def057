"""One trace: its spans on one axis of time, and the chosen one with its exact messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from noria.errors import NotFound
from noria.types import Money, utc_now
from noria.web import format, transcript
from noria.web.render import context_of, in_thread, key_of, page

if TYPE_CHECKING:
    from noria.store import Recorded
    from noria.types import Span

__all__ = ["routes"]

_DEEPEST = 6


@dataclass(frozen=True, slots=True)
class Branch:
    """A span at its place in the tree, with its times from the trace's beginning."""

    span: Span
    depth: int
    start_ms: float
    length_ms: float


async def show(request: Request) -> Response:
    """The tree, and the span that the address names (else the first one)."""
    found = await _find(request)
    branches = _tree([one.span for one in found])
    wanted = request.query_params.get("span")
    chosen = next((one for one in found if one.span.id == wanted), found[0])
    sent, received = transcript.read(chosen.request, chosen.response)
    values = {
        "branches": branches,
        "whole_ms": max(branch.start_ms + branch.length_ms for branch in branches),
        "cost_nano": sum(branch.span.cost_nano for branch in branches),
        "chosen": chosen,
        "span": chosen.span,
        "sent": sent,
        "received": received,
        "raw_request": transcript.pretty(chosen.request),
        "raw_response": transcript.pretty(chosen.response),
    }
    return page(request, "trace.html", values)


async def figures(request: Request) -> Response:
    """What the chat shows under an answer, in the words of the pages."""
    spans = [one.span for one in await _find(request)]
    span = spans[-1]
    cost = sum(one.cost_nano for one in spans)
    return JSONResponse(
        {
            "model": span.target or span.model,
            "status": span.status,
            "tokens": [format.count(span.input_tokens), format.count(span.output_tokens)],
            "ttft": format.duration(span.ttft_ms),
            "duration": format.duration(span.duration_ms),
            "rate": format.rate(span.output_tokens, span.duration_ms, span.ttft_ms),
            "cost": str(Money(cost)),
            "cost_exact": format.exact_money(cost),
        }
    )


async def raw(request: Request) -> Response:
    """The exact bytes of a request or a reply, or a program that makes the same call."""
    found = await _find(request)
    recorded = next((one for one in found if one.span.id == request.path_params["span"]), None)
    what = request.path_params["what"]
    body = None
    if recorded is not None:
        body = recorded.response if what == "response" else recorded.request
    if recorded is None or body is None:
        raise HTTPException(404, "Nothing of this kind was recorded.")
    base, kind = str(request.base_url), recorded.span.kind
    match what:
        case "curl":
            return PlainTextResponse(transcript.as_curl(base, kind, body))
        case "python":
            return PlainTextResponse(transcript.as_python(base, kind, body))
        case "request" | "response":
            return PlainTextResponse(body)
    raise HTTPException(404)


async def _find(request: Request) -> list[Recorded]:
    """The trace, as far as the browser's key may see it.

    Raises:
        NotFound: there is none, or it is another key's.
    """
    from noria.store import find_trace

    context, key, identity = context_of(request), key_of(request), request.path_params["id"]
    await in_thread(context.take_in)
    found = await in_thread(find_trace, context.db, identity)
    found = [one for one in found if key.admin or one.span.key_id == key.id]
    if not found:
        # In the words for one that does not exist: even that would be known from another answer.
        raise NotFound(f"There is no trace {identity}.", "The list of traces has them all.")
    return found


def _tree(spans: list[Span]) -> list[Branch]:
    """The spans in the order of a tree, children below their parent."""
    begin, now = min(span.started_ns for span in spans), utc_now().timestamp() * 1000
    known = {span.id for span in spans}
    children: dict[str | None, list[Span]] = {}
    for span in spans:
        parent = span.parent_id if span.parent_id in known else None
        children.setdefault(parent, []).append(span)
    branches = []
    stack = [(span, 0) for span in reversed(children.get(None, []))]
    while stack:
        span, depth = stack.pop()
        start = (span.started_ns - begin) / 1e6
        length = span.duration_ms
        if length is None:
            length = max(0.0, now - span.started_ns / 1e6)
        branches.append(Branch(span, min(depth, _DEEPEST), start, length))
        stack += [(child, depth + 1) for child in reversed(children.get(span.id, []))]
    return branches


routes = [
    Route("/traces/{id}", show),
    Route("/traces/{id}/figures", figures),
    Route("/traces/{id}/spans/{span}/{what}", raw),
]
