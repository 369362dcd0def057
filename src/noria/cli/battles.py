"""`noria arena ls|open|export`: the battles of this home."""

from __future__ import annotations

import webbrowser
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli._io import options
from noria.cli._io.home import open_home
from noria.cli._io.output import AsJson, emit, iso, note, table
from noria.cli.arena import app
from noria.errors import NoriaError

if TYPE_CHECKING:
    from noria.apps.run.standalone import OpenHome
    from noria.store import Key

__all__ = ["app"]


@app.command()
def ls(
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    source: Annotated[str | None, typer.Option(help="Only votes of: human, judge, shadow.")] = None,
    contestant: Annotated[str | None, typer.Option(help="Only battles of this one.")] = None,
    excluded: Annotated[
        str | None, typer.Option(help="Only those set apart for this reason; - for those counted.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List battles that were voted on, the newest first."""
    from noria.store.evals.battles import list_battles

    with open_home() as home:
        found = list_battles(
            home.db, limit=limit, source=source, contestant=contestant, excluded=excluded
        )
    if as_json:
        emit(
            [
                {
                    "id": one.id, "at": iso(one.at), "model_a": one.model_a,
                    "model_b": one.model_b, "winner": one.winner, "source": one.source,
                    "judge": one.judge, "category": one.category, "excluded": one.excluded,
                }
                for one in found
            ]
        )  # fmt: skip
        return
    table(
        ["id", "at", "left", "right", "winner", "votes of", "set apart"],
        (
            (
                one.id, iso(one.at) or "", one.model_a, one.model_b, one.winner or "",
                one.judge or one.source, one.excluded or "",
            )
            for one in found
        ),
        empty="Nobody has voted yet. Open the arena: noria arena open",
    )  # fmt: skip


@app.command("open")
def open_page() -> None:
    """Open the arena in the browser; a server must run on this home."""
    from noria.config import load
    from noria.home import running_server

    server = running_server(load().home)
    if server is None:
        raise NoriaError("No noria serves this home.", "Start one: noria serve")
    url = f"{server.url}/arena"
    typer.echo(url)
    webbrowser.open(url)


@app.command()
def judge(
    model: Annotated[str, typer.Option("--judge", help="The model that judges.")],
    limit: Annotated[int, typer.Option(min=1, help="At most so many battles.")] = 100,
    repeats: Annotated[int, typer.Option(min=1, help="How often it looks at each.")] = 1,
    criteria: Annotated[
        str | None, typer.Option(help="What is judged by, with commas: factual,depth,...")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Battles at a time.")] = 4,
    budget: Annotated[str | None, typer.Option(help='The most that it may cost: "5 USD".')] = None,
) -> None:
    """Have a judge look at battles that people voted on: it votes too, and shows how good it is."""
    from noria.cli.eval import with_home
    from noria.evals.arena.judging import judge_battles
    from noria.evals.evaluation.judging import asker
    from noria.evals.judge import Judge
    from noria.store.evals.judgements import unseen_battles

    asked = Judge(model, "pair", options.names(criteria) or Judge(model).criteria, repeats)
    failed = found = 0

    async def work(opened: OpenHome, key: Key, progress: Any) -> None:
        nonlocal failed, found
        battles = list(unseen_battles(opened.db, model, limit))
        found = len(battles)
        done = 0

        def one_more() -> None:
            nonlocal done
            done += 1
            progress("judge", done, found)

        failed = await judge_battles(
            opened.db, battles, asked, partial(asker, opened.gateway, key), concurrency=concurrency,
            progress=one_more,
        )  # fmt: skip

    with_home(work, options.budget(budget), f"judging by {model}")
    note(f"{found - failed} battles judged by {model}{f', {failed} could not be' * bool(failed)}.")


@app.command()
def export(
    out: Annotated[
        Path | None, typer.Option(help="The file to write; standard output, if left out.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Only votes of: human, judge, shadow.")] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Those that do not count as well, with the reason.")
    ] = False,
) -> None:
    """Write the battles as JSON lines in the field's form, which `noria arena rate` reads."""
    import orjson

    from noria.evals.arena import export_rows

    rows = 0
    with open_home() as home:
        lines = (
            orjson.dumps(row).decode() + "\n"
            for row in export_rows(home.db, source=source, excluded=all_)
        )
        if out is None:
            for line in lines:
                typer.echo(line, nl=False)
            return
        fresh = out.with_name(f"{out.name}.new")
        with fresh.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(line)
                rows += 1
        fresh.replace(out)
    note(f"{rows} battles in {out}.")
