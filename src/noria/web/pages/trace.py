"""One run: its spans on one axis of time, and the chosen one with exactly what went in and out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from noria.errors import NotFound
from noria.types import Money, SpanKind
from noria.web import format
from noria.web.render import context_of, in_thread, key_of, page
from noria.web.run import calls, exhibits, transcript, tree

if TYPE_CHECKING:
    from noria.store import Database, Evidence, Key, Recorded
    from noria.types import Span

__all__ = ["routes"]

_LONGEST_COMMENT = 2_000


@dataclass(frozen=True, slots=True)
class Run:
    """A trace as far as the browser's key may see it."""

    spans: list[Span]
    chosen: Recorded
    evidence: Evidence
    searches: list[Recorded]
    """The searches whose passages are shown: those of the run, or the chosen one."""
    readable: bool
    """Whether its texts may be shown: its mark is not above the clearance of who looks."""


async def show(request: Request) -> Response:
    """The tree, and the span that the address names (else the first one)."""
    run = await _find(request)
    branches = tree.grow(run.spans)
    span = run.chosen.span
    branch = next(one for one in branches if one.span.id == span.id)
    room = transcript.Room()
    passages = exhibits.passages(run.searches, run.evidence, room)
    chats = span.kind in (SpanKind.CHAT, SpanKind.EMBEDDING)
    body, answer = run.chosen.request, run.chosen.response
    sent, received = transcript.read(body, answer, room) if chats else ([], [])
    values = {
        "shown": tree.window(branches, span.id, request.query_params.get("from")),
        "whole_ms": max(one.start_ms + one.length_ms for one in branches),
        "root": branches[0].span,
        "run": run,
        "span": span,
        "branch": branch,
        "passages": passages,
        "question": exhibits.question(body, room) if span.kind is SpanKind.SEARCH else "",
        "rulings": exhibits.rulings(run.spans),
        "sent": sent,
        "received": received,
        "inputs": [] if chats else transcript.fields(body, room),
        "outputs": [] if chats else transcript.fields(answer, room),
        "raw_request": transcript.pretty(body, room),
        "raw_response": transcript.pretty(answer, room),
        "attributes": calls.attributes(span, room),
        "copyable": calls.can_repeat(span) and body is not None,
    }
    return page(request, "trace.html", values)


async def figures(request: Request) -> Response:
    """What the chat shows under an answer, in the words of the pages."""
    run = await _find(request)
    branches = tree.grow(run.spans)
    root = branches[0]
    answering = [one for one in run.spans if one.kind is SpanKind.CHAT]
    first = root.span.ttft_ms
    if first is None and answering:
        first = answering[-1].ttft_ms
    return JSONResponse(
        {
            "model": root.span.target or root.span.model or root.span.name,
            "status": root.span.status,
            "tokens": [format.count(root.input_tokens), format.count(root.output_tokens)],
            "ttft": format.duration(first),
            "duration": format.duration(root.span.duration_ms),
            "rate": format.rate(root.output_tokens, root.span.duration_ms, first),
            "cost": str(Money(root.cost_nano)),
            "cost_exact": format.exact_money(root.cost_nano),
            "passages": sum(len(_given(one)) for one in run.spans),
            "checks": [
                {"check": one.check, "outcome": one.outcome, "severity": one.severity}
                for one in exhibits.rulings(run.spans)
            ],
        }
    )


async def cited(request: Request) -> Response:
    """The passages that an answer's `[n]` may cite."""
    run = await _find(request)
    found = exhibits.passages(run.searches, run.evidence, transcript.Room(400_000))
    return JSONResponse(
        [
            {
                "number": one.number, "title": one.title, "document": one.document,
                "index": one.index, "label": one.label, "text": one.text, "why": one.why,
                "deleted": one.deleted_ns is not None,
            }
            for one in found
        ]
    )  # fmt: skip


async def feedback(request: Request) -> Response:
    """Keep what somebody says of the answer."""
    from noria.store.traces.feedback import add_feedback

    run = await _find(request)
    form = await request.form()
    score = {"1": 1.0, "-1": -1.0}.get(str(form.get("score")))
    comment = str(form.get("comment") or "").strip()[:_LONGEST_COMMENT]
    trace_id = run.chosen.span.trace_id
    if score is not None or comment:
        await in_thread(
            add_feedback, context_of(request).db, key_of(request), trace_id, score, comment or None
        )
    return RedirectResponse(f"/traces/{trace_id}#feedback", 303)


async def correct(request: Request) -> Response:
    """Keep what the answer should have been, as a row to learn from."""
    from noria.datasets.reviewing import correct as keep

    run = await _find(request)
    if not run.readable:
        raise HTTPException(403, "Who may not read an answer cannot correct it.")
    form, key = await request.form(), key_of(request)
    answer = str(form.get("answer") or "").replace("\r\n", "\n")
    trace_id = run.chosen.span.trace_id
    person = key.user or key.name or key.id
    await in_thread(keep, context_of(request).db, trace_id, key.id, person, answer)
    return RedirectResponse(f"/traces/{trace_id}#correction", 303)


async def raw(request: Request) -> Response:
    """The exact bytes of a request or a reply, or a program that makes the same call."""
    run = await _find(request, request.path_params["span"])
    what = request.path_params["what"]
    recorded = run.chosen
    body = recorded.response if what == "response" else recorded.request
    if body is None:
        raise HTTPException(404, "Nothing of this kind was recorded.")
    match what:
        case "curl" | "python" if calls.can_repeat(recorded.span):
            write = calls.as_curl if what == "curl" else calls.as_python
            return PlainTextResponse(write(str(request.base_url), recorded.span, body))
        case "request" | "response":
            return PlainTextResponse(body)
    raise HTTPException(404)


async def _find(request: Request, span_id: str | None = None) -> Run:
    """The trace, as far as the browser's key may see it.

    Raises:
        NotFound: there is none, or it is another key's.
        HTTPException: 404, if it has no such span.
    """
    context, key, identity = context_of(request), key_of(request), request.path_params["id"]
    await in_thread(context.take_in)
    wanted = span_id or request.query_params.get("span")
    run = await in_thread(_read, context.db, key, identity, wanted)
    if run is None:
        # In the words for one that does not exist: even that would be known from another answer.
        raise NotFound(f"There is no trace {identity}.", "The list of traces has them all.")
    if span_id is not None and run.chosen.span.id != span_id:
        raise HTTPException(404, "The trace has no such span.")
    return run


def _read(db: Database, key: Key, identity: str, wanted: str | None) -> Run | None:
    from noria.store import Recorded, content_of, evidence_of, find_tree

    spans = [one for one in find_tree(db, identity) if key.admin or one.key_id == key.id]
    if not spans:
        return None
    chosen = next((one for one in spans if one.id == wanted), spans[0])
    evidence = evidence_of(db, chosen.trace_id)
    readable = evidence.mark <= key.clearance
    if not readable:
        return Run(spans, Recorded(chosen, None, None, None), evidence, [], readable)
    recorded = content_of(db, chosen)
    if chosen is spans[0]:
        searches = [content_of(db, one) for one in spans if _searched(one)]
    else:
        searches = [recorded] if _searched(chosen) else []
    return Run(spans, recorded, evidence, searches, readable)


def _searched(span: Span) -> bool:
    return span.kind is SpanKind.SEARCH or bool(_given(span))


def _given(span: Span) -> list[object]:
    """The documents that a span handed out."""
    found = span.attributes.get("documents")
    return found if isinstance(found, list) else []


routes = [
    Route("/traces/{id}", show),
    Route("/traces/{id}/figures", figures),
    Route("/traces/{id}/documents", cited),
    Route("/traces/{id}/feedback", feedback, methods=["POST"]),
    Route("/traces/{id}/correction", correct, methods=["POST"]),
    Route("/traces/{id}/spans/{span}/{what}", raw),
]
