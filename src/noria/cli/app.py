"""The tree of verbs. Each module below loads what is heavy only when its verb runs."""

from __future__ import annotations

from typing import Annotated

import typer

import noria
from noria.cli import (
    agent,
    battles,
    capacity,
    chat,
    data,
    deploy,
    index,
    init,
    key,
    model,
    resource,
    run,
    serve,
    spend,
    store,
    tune,
)
from noria.cli import eval as evaluation
from noria.cli.act import verb as act
from noria.cli.doctor import verb as doctor
from noria.cli.trace import verb as trace

__all__ = ["app"]

app = typer.Typer(
    name="noria",
    help="One governed door to any language model, and what comes after the answer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"noria {noria.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    pass


app.command("init")(init.init)
app.command("serve")(serve.serve)
app.command("chat")(chat.chat)
app.command("run")(run.run)
app.add_typer(model.app, name="model")
app.add_typer(key.app, name="key")
app.add_typer(index.app, name="index")
app.command("spend")(spend.spend)
app.add_typer(trace.app, name="trace")
app.add_typer(evaluation.app, name="eval")
app.add_typer(battles.app, name="arena")
app.add_typer(data.app, name="data")
app.add_typer(tune.app, name="tune")
app.command("agent", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    agent.agent
)
app.add_typer(act.app, name="act")
app.add_typer(deploy.app, name="deploy")
app.command("capacity")(capacity.capacity)
app.add_typer(resource.app, name="resource")
app.add_typer(store.app, name="store")
app.command("doctor")(doctor.doctor)
