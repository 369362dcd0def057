"""`noria data`: sets of data out of exports and of what was recorded."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from noria.cli import datasets
from noria.cli._io import options
from noria.cli._io.home import open_home
from noria.cli._io.output import note

__all__ = ["app"]

app = typer.Typer(help="Sets of conversations to learn from.", no_args_is_help=True)


class Thumb(enum.StrEnum):
    """What people said of an answer."""

    UP = "up"
    DOWN = "down"


datasets.register(app)


@app.callback()
def _group() -> None:
    """Sets of conversations to learn from."""


@app.command("from-traces")
def from_traces(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to write, as JSON lines.")
    ] = None,
    application: Annotated[str | None, typer.Option("--app", help="The application.")] = None,
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
    where: Annotated[
        str | None,
        typer.Option(help='Conversations instead: "check:grounded and vote:win and app:support".'),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--set", help="With --where: keep them as this set.")
    ] = None,
    preferences: Annotated[
        bool, typer.Option("--preferences", help="With --where: corrections over answers.")
    ] = False,
) -> None:
    """Make a golden set for `noria eval gate` from recorded runs, each question once; with
    --where, rows of conversations to learn from."""
    import orjson

    if where is not None:
        began = options.instant(since, "--since"), options.instant(until, "--until")
        _conversations(where, application, out, dataset, began, limit, preferences)
        return
    if application is None or out is None or dataset or preferences:
        raise typer.BadParameter(
            "a golden set needs --app and --out; conversations need --where", param_hint="--where"
        )

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


def _conversations(
    where: str,
    application: str | None,
    out: Path | None,
    dataset: str | None,
    began: tuple[int | None, int | None],
    limit: int,
    preferences: bool,
) -> None:
    from noria.datasets import Dataset, write_rows
    from noria.datasets.traces import Where, parse_where, rows_where

    if (out is None) == (dataset is None):
        raise typer.BadParameter("give either --out or --set", param_hint="--out")
    conditions = parse_where(where)
    if application is not None:
        conditions.append(Where("app", application))
    with open_home() as home:
        home.take_in()
        rows = rows_where(
            home.db, conditions, since_ns=began[0], until_ns=began[1], limit=limit,
            preferences=preferences,
        )  # fmt: skip
        if out is not None:
            note(f"{write_rows(out, rows)} rows in {out}.")
        else:
            assert dataset is not None
            made = Dataset.create(home.db, dataset, rows, report={"where": where})
            note(f"{made.count} rows are the set {made.reference}.")


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
