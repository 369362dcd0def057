"""`noria act eval`: how well calls are chosen, in four numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli._io import options
from noria.cli._io.output import AsJson, emit, note, printable, table

if TYPE_CHECKING:
    from noria.actions.choosing import Ask
    from noria.actions.evaluating import CallReport
    from noria.apps.run.standalone import OpenHome
    from noria.statistics import Interval
    from noria.store import Key

__all__ = ["evaluate"]

_SHOWN = 10
"""Of the answers that were wrong."""
_TRACES = "traces"
_RETRIEVAL = "retrieval"


def evaluate(
    set_: Annotated[
        str,
        typer.Argument(
            metavar="SET",
            help="A file or folder in BFCL's or APIBench's form; `traces` for recorded calls.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Who chooses. Without it APIBench is answered by retrieval alone."),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Only so many rows, spread evenly over the set.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Calls at a time.")] = 4,
    budget: Annotated[
        str | None, typer.Option(help='The most that it may cost, such as "5 USD".')
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Keep the model's replies in this file, and go on from what it holds."),
    ] = None,
    app: Annotated[str | None, typer.Option(help="Of traces: only this application's.")] = None,
    since: Annotated[str | None, typer.Option(help="Of traces: 7d, 24h, or a date.")] = None,
    as_json: AsJson = False,
) -> None:
    """Report exact call, same function, hallucinated and refused rightly, each with its interval.

    The benchmark's official metric stands beside them, with how it can be gamed.
    """
    if set_ == _TRACES:
        report = _of_traces(app, model, options.instant(since), sample)
    elif model is None:
        import asyncio

        from noria.actions.evaluating import evaluate as run

        report = asyncio.run(run(Path(set_), _RETRIEVAL, None, sample=sample))
    else:
        report = _with_model(Path(set_), model, sample, concurrency, budget, out)
    if as_json:
        emit(report.as_json())
    else:
        _show(report)


def _of_traces(
    app: str | None, model: str | None, since_ns: int | None, limit: int | None
) -> CallReport:
    from noria.actions.evaluating import count_traces
    from noria.cli._io.home import open_home

    with open_home() as home:
        home.take_in()
        return count_traces(home.db, app=app, model=model, since_ns=since_ns, limit=limit or 10_000)


def _with_model(
    path: Path,
    model: str,
    sample: int | None,
    concurrency: int,
    budget: str | None,
    out: Path | None,
) -> CallReport:
    from noria.actions.evaluating import evaluate as run
    from noria.actions.evaluating.kept import keeping
    from noria.cli.eval import with_home

    reports: list[CallReport] = []

    async def work(opened: OpenHome, key: Key, progress: Any) -> None:
        ask = _paid_by(opened, key, model)
        reports.append(
            await run(
                path,
                model,
                ask if out is None else keeping(out, model, ask),
                sample=sample,
                concurrency=concurrency,
                progress=lambda done, of: progress("run", done, of),
            )
        )

    again = "run it again" if out is None else f"what was answered is kept in {out}; run it again"
    with_home(work, options.budget(budget), f"calls {path.name}", again=again)
    return reports[0]


def _paid_by(opened: OpenHome, key: Key, name: str) -> Ask:
    """Ask a model, each time in a trace of its own that this key pays for."""
    from noria.actions.choosing import Prompt, ask_with
    from noria.apps.model.model import Model
    from noria.tracing import CallContext, Trace, current

    ask = ask_with(Model(name))

    async def paid(prompt: Prompt) -> str:
        token = current.set(CallContext(opened.gateway, Trace(key)))
        try:
            return await ask(prompt)
        finally:
            current.reset(token)

    return paid


def _show(report: CallReport) -> None:
    counted, said = report.counted.intervals(), None
    if report.as_said is not None:
        said = report.as_said.intervals()
    rows = []
    for name, interval in counted.items():
        count, total = getattr(report.counted, name)
        row = [name.replace("_", " "), f"{count} of {total}" if total else "", *_pair(interval)]
        rows.append([*row, _pair(said[name])[0]] if said else row)
    columns = ["of the calls", ">rows", ">share", ">95 %"]
    table([*columns, ">as said"] if said else columns, rows, empty="Nothing was counted.")
    note(f"{report.name} ({report.form}), chosen by {report.model}, {report.counted.rows} rows.")
    for k, share in report.retrieved.items():
        note(f"The right one is among the first {k} retrieved in {share:.1%} of the rows.")
    if report.failed:
        note(
            f"{report.failed} rows had no answer, since the model's call failed: counted as wrong."
        )
    if report.official is not None:
        official = report.official
        note(f"Official: {official.name} {_pair(official.share)[0]} ({_pair(official.share)[1]}).")
        note(f"How it can be gamed: {official.gamed}")
    for one in [one for one in report.graded if one.why][:_SHOWN]:
        note(printable(f"  {one.row}: {one.why[:160]}"))


def _pair(interval: Interval | None) -> tuple[str, str]:
    if interval is None:
        return "unknown", ""
    return f"{interval.value:.1%}", f"{interval.lower:.1%} to {interval.upper:.1%}"
