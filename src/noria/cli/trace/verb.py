"""`noria trace`: what happened, call by call."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from noria.cli._io import options
from noria.cli._io.home import Home, open_home
from noria.cli._io.output import AsJson, emit, note
from noria.cli.trace import evidence as evidences
from noria.cli.trace.replay import replay
from noria.cli.trace.spans import content, describe, line, print_table, row
from noria.types import Span, SpanKind, Status

__all__ = ["app"]

_POLL_SECONDS = 0.5
_LOOK_BACK_NS = 600_000_000_000
_MARGIN_NS = 60_000_000_000
_MOST = 100_000

app = typer.Typer(help="Look at recorded calls.", no_args_is_help=True)

StatusIs = Annotated[Status | None, typer.Option(help="How it ended.")]
Model = Annotated[str | None, typer.Option(help="The model asked for.")]
KeyId = Annotated[str | None, typer.Option("--key", metavar="ID", help="The key that called.")]
Team = Annotated[str | None, typer.Option(help="The team that called.")]
User = Annotated[str | None, typer.Option(help="The user who called.")]
KindIs = Annotated[SpanKind | None, typer.Option(help="What it was.")]


@app.command()
def ls(
    limit: Annotated[int, typer.Option(min=1, max=_MOST, help="The most to show.")] = 50,
    status: StatusIs = None,
    model: Model = None,
    key: KeyId = None,
    team: Team = None,
    user: User = None,
    kind: KindIs = None,
    min_ms: Annotated[
        float | None, typer.Option(min=0, help="Only calls that took so long, in milliseconds.")
    ] = None,
    max_ms: Annotated[
        float | None, typer.Option(min=0, help="Only calls that took no longer.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only from then on: an age (7d, 24h, 30m) or a date.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only before then.")] = None,
    text: Annotated[str | None, typer.Option(help="Only with these words in a message.")] = None,
    as_json: AsJson = False,
) -> None:
    """List runs and calls, the newest first; parts of a run with --kind, --model or --text."""
    from noria.store.traces.trace import add_up

    filters = {
        "status": status,
        "model": model,
        "key_id": key,
        "team": team,
        "user": user,
        "kind": kind,
        "min_ms": min_ms,
        "max_ms": max_ms,
        "since_ns": options.instant(since),
        "until_ns": options.instant(until, "--until"),
        "text": text,
        # Parts of a run show only to those who look for what only a part has.
        "roots_only": not (model or kind or text),
    }
    with open_home() as home:
        home.take_in()
        spans = add_up(home.db, list(_find(home, limit, filters)))
    if as_json:
        emit([row(span) for span in spans])
        return
    print_table(spans, "Nothing is recorded yet, or nothing fits these filters.")


@app.command()
def show(
    trace_id: Annotated[str, typer.Argument(metavar="ID", help="A trace's or a span's id.")],
    as_json: AsJson = False,
) -> None:
    """Show the exact messages, tokens, times and cost of one trace, and its documents."""
    from noria.store import evidence_of, find_trace

    with open_home() as home:
        home.take_in()
        recorded = find_trace(home.db, trace_id)
        evidence = evidence_of(home.db, recorded[0].span.trace_id)
    if as_json:
        emit(
            {
                "trace_id": recorded[0].span.trace_id,
                "spans": [
                    row(one.span)
                    | {"request": content(one.request), "response": content(one.response)}
                    for one in recorded
                ],
            }
            | evidences.as_json(evidence, recorded)
        )
        return
    for one in recorded:
        describe(one)
    evidences.describe_evidence(evidence, recorded)


@app.command()
def redact(
    document: Annotated[
        str, typer.Option("--document", metavar="ID", help="The document's id, as `show` has it.")
    ],
    index: Annotated[str | None, typer.Option(help="Only as found in this index.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a document's text out of the record of every run that used it.

    All that went in and came out of such a run goes, since a model may have said the text in other
    words; so do later turns of its conversation. Times, tokens and costs stay. It cannot be undone.
    """
    from noria.store import answers_of
    from noria.store import redact as take_out

    with open_home() as home:
        home.take_in()
        runs = sum(one.redacted_ns is None for one in answers_of(home.db, document, index))
        if runs and not yes:
            typer.confirm(f"Take out all texts of {runs} runs?", abort=True, err=True)
        gone = take_out(home.db, document, index)
    if as_json:
        emit({"traces": gone.traces, "spans": gone.spans, "turns": gone.turns})
        return
    note(f"Redacted {gone.traces} runs ({gone.spans} spans, {gone.turns} turns of conversations).")


@app.command()
def tail(
    status: StatusIs = None,
    model: Model = None,
    key: KeyId = None,
    team: Team = None,
    user: User = None,
    kind: KindIs = None,
    as_json: AsJson = False,
) -> None:
    """Print each call as it ends, until Ctrl-C. With --json, one object a line."""
    filters = {
        "status": status,
        "model": model,
        "key_id": key,
        "team": team,
        "user": user,
        "kind": kind,
    }
    import orjson

    with open_home() as home:
        for span in _follow(home, filters):
            typer.echo(orjson.dumps(row(span)).decode() if as_json else line(span))
            sys.stdout.flush()


app.command()(replay)


def _find(home: Home, limit: int, filters: dict[str, Any]) -> Iterator[Span]:
    """Up to `limit` spans, page by page."""
    from noria.store import find_spans

    cursor: str | None = None
    while limit > 0:
        page = find_spans(home.db, limit=min(limit, 500), cursor=cursor, **filters)
        yield from page.rows
        limit -= len(page.rows)
        cursor = page.next
        if cursor is None:
            return


def _follow(home: Home, filters: dict[str, Any]) -> Iterator[Span]:
    """Spans that end from now on, each round's in the order in which they began.

    Each round looks again at the last minute, and at everything since the oldest call that is
    under way.
    """
    since = time.time_ns() - _LOOK_BACK_NS
    shown: set[str] | None = None
    while True:
        home.take_in()
        recent = list(_find(home, _MOST, filters | {"since_ns": since}))
        ended = [span for span in reversed(recent) if span.status is not Status.OPEN]
        if shown is not None:
            yield from (span for span in ended if span.id not in shown)
        shown = {span.id for span in ended}
        under_way = [span.started_ns for span in recent if span.status is Status.OPEN]
        since = min([time.time_ns() - _MARGIN_NS, *under_way])
        time.sleep(_POLL_SECONDS)
