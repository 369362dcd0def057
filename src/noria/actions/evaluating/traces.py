"""The same counting on what production recorded: which calls of tools named what does not exist.

A trace does not say which call would have been right, so exact call and same function stay unknown
there, but for an answer that somebody has corrected. What is known of every answer is whether it
called something that the request did not offer, and whether it called at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from noria.actions.evaluating.asking import said_calls
from noria.actions.evaluating.call import Call
from noria.actions.evaluating.counting import Counted, Graded, is_hallucinated
from noria.actions.evaluating.report import CallReport
from noria.errors import ApiError
from noria.models.completion import Completion
from noria.store import Database, find_spans
from noria.store.traces.trace import content_of
from noria.types import Span, SpanKind, Status

__all__ = ["count_traces"]

_PAGE = 200


def count_traces(
    db: Database,
    *,
    app: str | None = None,
    model: str | None = None,
    since_ns: int | None = None,
    limit: int = 10_000,
) -> CallReport:
    """Count the calls of tools in recorded chat calls, the newest first.

    Args:
        db: the store.
        app: only calls of this application.
        model: only calls of this model.
        since_ns: only calls that began at this instant or later.
        limit: at most so many calls with tools.
    """
    graded: list[Graded] = []
    for span in _spans(db, app, model, since_ns):
        one = _grade(db, span)
        if one is not None:
            graded.append(one)
        if len(graded) >= limit:
            break
    name = app or "all applications"
    return CallReport(name, "traces", model or "any", Counted.of(graded), graded=tuple(graded))


def _spans(
    db: Database, app: str | None, model: str | None, since_ns: int | None
) -> Iterator[Span]:
    cursor = None
    while True:
        page = find_spans(
            db, limit=_PAGE, cursor=cursor, kind=SpanKind.CHAT, status=Status.OK, app=app,
            model=model, since_ns=since_ns,
        )  # fmt: skip
        yield from page.rows
        cursor = page.next
        if cursor is None:
            return


def _grade(db: Database, span: Span) -> Graded | None:
    """None for a call without tools, or whose content was not recorded."""
    recorded = content_of(db, span)
    try:
        request = orjson.loads(recorded.request or b"null")
        reply = orjson.loads(recorded.response or b"null")
        said = Completion.of(reply)
    except (orjson.JSONDecodeError, ApiError):
        return None
    functions = _offered(request)
    if not functions:
        return None
    calls = _calls(said)
    if not calls and _is_grammar(request):
        calls = said_calls(said.text, {})
    nowhere = is_hallucinated(calls, functions)
    return Graded(
        span.id, "call" if calls else "no call", hallucinated=nowhere is not None, why=nowhere or ""
    )


def _offered(request: Any) -> Sequence[Mapping[str, Any]]:
    """The tools of a request, or the operations of the grammar that a plan was made under."""
    if not isinstance(request, dict):
        return []
    tools = request.get("tools")
    found: list[Mapping[str, Any]] = []
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            found.append({"name": function["name"], "parameters": function.get("parameters")})
    return found or list(_of_grammar(request))


def _is_grammar(request: Mapping[str, Any]) -> bool:
    form = request.get("response_format")
    described = form.get("json_schema") if isinstance(form, dict) else None
    return isinstance(described, dict) and described.get("name") == "plan"


def _of_grammar(request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if not _is_grammar(request):
        return
    try:
        schema = request["response_format"]["json_schema"]["schema"]
        for branch in schema["properties"]["calls"]["items"]["oneOf"]:
            said = branch["properties"]
            if "arguments" in said:
                yield {"name": said["operation"]["const"], "parameters": said["arguments"]}
    except (KeyError, TypeError):
        return


def _calls(said: Completion) -> list[Call]:
    found = []
    for made in said.tool_calls:
        function = made.get("function") or {}
        try:
            arguments = orjson.loads(function.get("arguments") or "{}")
        except orjson.JSONDecodeError:
            arguments = {}
        found.append(
            Call(str(function.get("name")), arguments if isinstance(arguments, dict) else {})
        )
    return found
