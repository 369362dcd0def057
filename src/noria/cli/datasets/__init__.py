"""The verbs of `noria data` that work on sets and on files of rows."""

from __future__ import annotations

import typer

from noria.cli.datasets import cleaning, people, sets

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verbs to `noria data`."""
    app.command("import")(cleaning.import_)
    app.command("clean")(cleaning.clean)
    app.command("dedupe")(cleaning.dedupe)
    app.command("split")(cleaning.split)
    app.command("instruct")(cleaning.instruct)
    app.command("ls")(sets.ls)
    app.command("show")(sets.show)
    app.command("stats")(sets.stats)
    app.command("sample")(sets.sample)
    app.command("export")(sets.export)
    app.command("rm")(sets.rm)
    app.command("label")(people.label)
    app.command("forget")(people.forget)
