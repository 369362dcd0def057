"""`noria run`: a function of an application over every row of a file."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noria.cli._io.output import AsJson, emit, note, printable
from noria.errors import NoriaError

if TYPE_CHECKING:
    from noria.apps import App, BatchReport

__all__ = ["run"]


def run(
    file: Annotated[Path, typer.Argument(help="The application's file.")],
    function: Annotated[str, typer.Argument(help="Its function, as FUNCTION or APP.FUNCTION.")],
    source: Annotated[Path, typer.Option("--in", help="Rows of arguments, as JSON lines.")],
    out: Annotated[Path, typer.Option("--out", help="Where the results are appended.")],
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="Rows at the same time.")] = 8,
    variant: Annotated[str | None, typer.Option(help="A variant of the application.")] = None,
    on: Annotated[
        str | None, typer.Option(help="A cluster to run on: `ray`, or one of noria.toml.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a function over a file of rows; go on where an earlier run of it was stopped."""
    from noria.apps import load_app
    from noria.apps.run.standalone import close

    app, name = _find(load_app(file), function)
    try:
        report = _batch(app, name, source, out, concurrency, variant, on)
    finally:
        close()
    if as_json:
        emit(
            {
                "rows": report.rows,
                "already": report.already,
                "done": report.done,
                "failed": report.failed,
                "errors": [{"line": line, "message": text} for line, text in report.errors],
            }
        )
    else:
        _tell(report, source, out)
    if report.failed:
        raise typer.Exit(1)


def _find(apps: list[App], function: str) -> tuple[App, str]:
    """The application and its function."""
    named, _, name = function.rpartition(".")
    if named:
        apps = [app for app in apps if app.name == named]
    found = [app for app in apps if name in app.functions]
    if len(found) != 1:
        known = ", ".join(one.full_name for app in apps for one in app.functions.values())
        raise NoriaError(
            f"There {'is no function' if not found else 'are several functions'} {function}.",
            f"There is: {known or 'none'}.",
        )
    return found[0], name


def _batch(
    app: App,
    name: str,
    source: Path,
    out: Path,
    concurrency: int,
    variant: str | None,
    on: str | None,
) -> BatchReport:
    from noria.apps import current_context, run_batch
    from noria.cli._io.progress import watched

    with watched(app.functions[name].full_name) as progress:

        async def work() -> BatchReport:
            elsewhere = None
            if on is not None:
                from noria.infra.targets import cluster_of

                context = await current_context(app)
                cluster = cluster_of(context.runtime.config, on)
                if cluster is not None:
                    from noria.infra.ray.batch import RayRows

                    elsewhere = RayRows(cluster, app, name, context, variant, concurrency).run
            return await run_batch(
                app,
                name,
                source,
                out,
                lambda: current_context(app),
                concurrency=concurrency,
                variant=variant,
                progress=lambda done, total: progress("run", done, total),
                elsewhere=elsewhere,
            )

        try:
            return asyncio.run(work())
        except KeyboardInterrupt:
            note("Stopped. What is done is written; run it again to go on.")
            raise typer.Exit(130) from None


def _tell(report: BatchReport, source: Path, out: Path) -> None:
    before = f" ({report.already} were done before)" if report.already else ""
    note(f"{report.done + report.failed} of {report.rows} rows run{before}; results in {out}")
    if report.failed:
        note(f"{report.failed} failed:")
        for line, message in report.errors:
            note(f"  {source}, line {line}: {printable(message)}")
        if report.failed > len(report.errors):
            note(f"  and {report.failed - len(report.errors)} more: see the errors in {out}")
    sys.stderr.flush()
