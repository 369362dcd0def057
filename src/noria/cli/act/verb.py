"""The verbs of `noria act`."""

from __future__ import annotations

import typer

from noria.cli.act import evaluating

__all__ = ["app"]

app = typer.Typer(
    help="Turn words into API calls: plan, approve, apply, undo.", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    """Turn words into API calls: plan, approve, apply, undo."""


app.command("eval")(evaluating.evaluate)
