"""The verbs of `noria act`."""

from __future__ import annotations

import typer

from noria.cli.act import catalogue, evaluating, planning, plans, runs

__all__ = ["app"]

app = typer.Typer(
    help="Turn words into API calls: plan, approve, apply, undo.", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    """Turn words into API calls: plan, approve, apply, undo."""


app.command("plan")(planning.plan)
app.command("show")(plans.show)
app.command("diff")(plans.diff)
app.command("approve")(plans.approve)
app.command("reject")(plans.reject)
app.command("apply")(runs.apply)
app.command("resume")(runs.resume)
app.command("status")(runs.status)
app.command("undo")(runs.undo)
app.command("ls")(plans.ls)
app.command("reap")(runs.reap)
app.command("eval")(evaluating.evaluate)
app.add_typer(catalogue.app, name="catalogue")
