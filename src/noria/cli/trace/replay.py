"""`noria trace replay`: a recorded run once more, and what is different now."""

from __future__ import annotations

import asyncio
import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli._io.home import open_home
from noria.cli._io.output import AsJson, console, emit, note, printable
from noria.errors import ApiError, NoriaError, NotFound

if TYPE_CHECKING:
    from noria.apps import App
    from noria.apps.run.replay import Script
    from noria.cli._io.home import Home
    from noria.tracing import CallContext
    from noria.types import Span

__all__ = ["replay"]


def replay(
    trace_id: Annotated[
        str, typer.Argument(metavar="ID", help="A trace, or one call or run in it by its span.")
    ],
    model: Annotated[str | None, typer.Option(help="Ask this model instead.")] = None,
    app_file: Annotated[
        Path | None,
        typer.Option("--app", metavar="FILE", help="The application's file, if it has moved."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a recorded call or run again, with the documents it had, and compare the answers.

    Only runs of your own key (NORIA_KEY); the home's owner and admin keys may run any.
    """
    from noria.apps.run.replay import replay as run_again
    from noria.apps.run.standalone import close, open_plainly

    with open_home() as home:
        home.take_in()
        script = _script(home, trace_id)
        app = _load(home, script.app, app_file) if script.app else None
        opened = open_plainly()
        context = opened.context()
        try:
            _check_owner(home, script, context)
            answer = asyncio.run(run_again(script, context, model=model, app=app))
        except ApiError as refusal:
            raise NoriaError(
                f"The new run failed ({refusal.code}): {refusal.message}",
                f"Look at it: noria trace show {context.trace.id}",
            ) from None
        finally:
            close()
        home.take_in()
        told = _compare(home, script, context.trace.id, answer)
    if as_json:
        emit(told)
    else:
        _print(told)


def _script(home: Home, identity: str) -> Script:
    from noria.apps.run.replay import script_of
    from noria.store import find_trace, mark_of

    spans = find_trace(home.db, identity)
    return script_of(spans, mark_of(home.db, spans[0].span.trace_id), identity)


def _check_owner(home: Home, script: Script, context: CallContext) -> None:
    """A run of somebody else does not exist for whoever may not see it."""
    from noria.store import owner_key, trace_owner

    trace = script.root.span.trace_id
    key, secret = context.trace.key, os.environ.get("NORIA_KEY")
    owns_home = not secret or secret == owner_key(home.config.home, home.db).read_text().strip()
    if not (owns_home or key.admin or trace_owner(home.db, trace) == key.id):
        raise NotFound(
            f"There is no trace {trace} of this key.",
            "A key runs its own traces again; the home's owner and admin keys run any.",
        )


def _load(home: Home, name: str, file: Path | None) -> App:
    from noria.apps import load_app
    from noria.apps.serve.manifest import read_apps

    if file is None:
        manifest = read_apps(home.config.home).get(name)
        if manifest is None:
            raise NoriaError(
                f"Where the application {name} is written is not known in this home.",
                "Name its file: noria trace replay ID --app app.py",
            )
        file = Path(manifest.file)
    for app in load_app(file):
        if app.name == name:
            return app
    raise NoriaError(f"{file} declares no application named {name}.")


def _compare(home: Home, script: Script, trace_id: str, answer: str) -> dict[str, Any]:
    from noria.apps.run.replay import answer_of
    from noria.store import find_tree

    old = script.root
    before = answer_of(old.response, old.span.kind, old.span.status)
    new = find_tree(home.db, trace_id)
    return {
        "replay_of": old.span.trace_id,
        "trace_id": trace_id,
        "same": before == answer,
        "before": {"answer": before} | _figures([old.span, *(one.span for one in script.inside)]),
        "after": {"answer": answer} | _figures(new),
    }


def _figures(spans: list[Span]) -> dict[str, Any]:
    models = dict.fromkeys(one.target or one.model for one in spans if one.kind == "chat")
    return {
        "models": [model for model in models if model],
        "cost_nano": sum(one.cost_nano for one in spans),
        "duration_ms": spans[0].duration_ms,
    }


def _print(told: dict[str, Any]) -> None:
    from noria.types import Money
    from noria.web.format import duration

    out = console()
    for heading in ("before", "after"):
        one = told[heading]
        figures = f"{', '.join(one['models'])}  {Money(one['cost_nano'])}  "
        out.print(printable(f"{heading}  {figures}{duration(one['duration_ms'])}"), style="bold")
        out.print(printable(one["answer"]), soft_wrap=True)
        out.print()
    if told["same"]:
        out.print("The answers are the same.")
    else:
        out.print("differences", style="bold")
        before, after = (told[one]["answer"].splitlines() for one in ("before", "after"))
        for line in list(difflib.unified_diff(before, after, lineterm="", n=1))[2:]:
            style = {"+": "green", "-": "red"}.get(line[:1], "dim")
            out.print(printable(line), style=style, soft_wrap=True)
    note(f"Its trace: noria trace show {told['trace_id']}")
