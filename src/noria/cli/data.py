"""`noria data`: sets of data out of what was recorded."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from noria.cli._io import options
from noria.cli._io.home import open_home
from noria.cli._io.output import note

__all__ = ["app"]

app = typer.Typer(help="Sets of data from what was recorded.", no_args_is_help=True)


class Thumb(enum.StrEnum):
    """What people said of an answer."""

    UP = "up"
    DOWN = "down"


@app.callback()
def _group() -> None:
    """Sets of data from what was recorded."""


@app.command("from-traces")
def from_traces(
    application: Annotated[str, typer.Option("--app", help="The application.")],
    out: Annotated[Path, typer.Option(help="The file to write, as JSON lines.")],
    function: Annotated[str | None, typer.Option(help="Only runs of this function.")] = None,
    check: Annotated[
        str | None,
        typer.Option(metavar="NAME=pass|fail", help="Only runs with this outcome of a check."),
    ] = None,
    feedback: Annotated[
        Thumb | None, typer.Option(help="Only runs that people liked (up) or not (down).")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only runs from then on: an age (7d, 24h) or a date.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only runs before then.")] = None,
    text: Annotated[str | None, typer.Option(help="Only runs with these words.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 1000,
    expected: Annotated[
        bool, typer.Option("--expected", help="The recorded answer is what is expected.")
    ] = False,
) -> None:
    """Make a golden set for `noria eval gate` from recorded runs, each question once."""
    import orjson

    from noria.evals.evaluation.from_traces import rows_from_traces

    scored = {None: (None, None), Thumb.UP: (0.01, None), Thumb.DOWN: (None, -0.01)}[feedback]
    rows = 0
    with open_home() as home:
        home.take_in()
        fresh = out.with_name(f"{out.name}.new")
        with fresh.open("wb") as file:
            for row in rows_from_traces(
                home.db,
                application,
                function=function,
                check=_outcome(check),
                scored=scored,
                since_ns=options.instant(since, "--since"),
                until_ns=options.instant(until, "--until"),
                text=text,
                limit=limit,
                expected=expected,
            ):
                file.write(orjson.dumps(row) + b"\n")
                rows += 1
        fresh.replace(out)
    note(f"{rows} rows in {out}.")


def _outcome(check: str | None) -> tuple[str, str] | None:
    if check is None:
        return None
    name, equals, outcome = check.rpartition("=")
    if not equals or not name or outcome not in ("pass", "fail"):
        raise typer.BadParameter(
            f"{check!r} is not a check with its outcome, such as grounded=fail",
            param_hint="--check",
        )
    return name, outcome
