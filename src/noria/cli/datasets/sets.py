"""Looking at sets: their versions, rows and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from noria.cli._io.home import open_home
from noria.cli._io.output import AsJson, console, emit, note, printable, table
from noria.cli.datasets.source import open_rows

__all__ = ["export", "ls", "rm", "sample", "show", "stats"]

SetName = Annotated[str, typer.Argument(metavar="SET", help="A set (NAME, NAME@VERSION) or file.")]


def ls(
    name: Annotated[str | None, typer.Argument(help="List all versions of this set.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the sets of this home, each in its newest version."""
    from noria.datasets import list_datasets

    with open_home() as home:
        found = list_datasets(home.db, name)
    if as_json:
        emit([{**one.as_json(), "report": None} for one in found])
        return
    table(
        ["name", "version", ">rows", ">turns", "label", "made", ""],
        (
            (one.name, one.version, f"{one.count:,}", f"{one.turns:,}", str(one.label),
             one.at.strftime("%Y-%m-%d %H:%M"), one.marked or "")
            for one in found
        ),
        empty="There is no set yet. Make one: noria data import NAME FILE",
    )  # fmt: skip


def show(
    source: SetName,
    limit: Annotated[int, typer.Option(min=0, help="Show so many rows.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Show a set: where it came from, its figures, and its first rows."""
    from itertools import islice

    with open_rows(source) as rows:
        first = [row.as_json() for row in islice(rows.read(), limit)]
        if as_json:
            told: dict[str, Any] = rows.dataset.as_json() if rows.dataset else {"path": source}
            emit({**told, "first": first})
            return
        if rows.dataset is not None:
            one = rows.dataset
            note(f"{one.reference}: {one.count:,} rows, {one.turns:,} turns, {one.label}")
            note(f"made of {', '.join(one.parents) or 'rows'}; SHA-256 {one.sha256}")
            if one.marked:
                note(f"marked: {one.marked}")
    for row in first:
        _print(row)


def stats(source: SetName, as_json: AsJson = False) -> None:
    """Count rows, turns and tokens, and draw the lengths."""
    from noria.datasets import statistics_of

    with open_rows(source) as rows:
        kept = rows.dataset.report.get("statistics") if rows.dataset else None
        told = kept or statistics_of(rows.read())
    if as_json:
        emit(told)
        return
    note(
        f"{told['rows']:,} rows, {told['turns']:,} turns, {told['characters']:,} characters, "
        f"about {told['tokens']:,} tokens."
    )
    for title in ("turns_per_row", "characters_per_row", "language", "label", "consent"):
        counts = told[title]
        most = max(counts.values(), default=1)
        table(
            [title.replace("_", " "), ">rows", ""],
            (
                (name or "unknown", f"{count:,}", "█" * max(1, round(30 * count / most)))
                for name, count in counts.items()
            ),
            empty="",
        )


def sample(
    source: SetName,
    size: Annotated[int, typer.Option("-n", min=1, help="How many rows.")] = 5,
    seed: Annotated[int, typer.Option(help="Another one draws others.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write them there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Draw rows at random."""
    from noria.datasets import write_rows
    from noria.datasets.parts import sample as draw

    with open_rows(source) as rows:
        drawn = draw(rows.read(), size, seed=seed)
    if out is not None:
        note(f"{write_rows(out, drawn)} rows are in {out}.")
    elif as_json:
        emit([row.as_json() for row in drawn])
    else:
        for row in drawn:
            _print(row.as_json())


def export(
    source: SetName,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")],
    form: Annotated[
        str, typer.Option(help="rows, chat (OpenAI's fine-tuning form), sharegpt, or parquet.")
    ] = "rows",
) -> None:
    """Write a set as a file: rows with provenance, or what trainers elsewhere read."""
    from noria.datasets.exporting import FORMS, export_rows

    if form not in FORMS:
        raise typer.BadParameter(f"{form!r} is not one of {', '.join(FORMS)}", param_hint="--form")
    with open_rows(source) as rows:
        count = export_rows(rows.read(), out, form)
    note(f"{count:,} rows are in {out}.")


def rm(
    source: Annotated[str, typer.Argument(metavar="SET", help="NAME, or NAME@VERSION.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a set with all its versions, or one version."""
    from noria.datasets import Dataset, remove_dataset

    with open_home() as home:
        one = Dataset.open(home.db, source)
        if not yes:
            what = one.reference if "@" in source else f"{one.name} with all its versions"
            typer.confirm(f"Delete {what}?", abort=True, err=True)
        for gone in remove_dataset(home.db, source):
            note(f"{gone.reference} is deleted.")


def _print(row: dict[str, Any]) -> None:
    shown = console()
    shown.print(f"[{row['id']}] {row['source']} {row['label']}", style="dim", markup=False)
    for side in ("messages", "chosen", "rejected"):
        for message in row.get(side) or ():
            role = message["role"] if side == "messages" else f"{message['role']} ({side})"
            shown.print(f"{role}: ", style="bold", end="")
            shown.print(printable(str(message.get("content") or message.get("tool_calls"))[:2000]))
    shown.print()
