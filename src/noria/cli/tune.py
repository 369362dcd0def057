"""`noria tune`: better models from conversations, and evidence before they serve."""

from __future__ import annotations

import enum
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from noria.cli._io.output import AsJson, emit, note, printable, table

if TYPE_CHECKING:
    from noria.tuning.training import Point

__all__ = ["app"]

app = typer.Typer(help="Tune models and promote them on evidence.", no_args_is_help=True)


class Method(enum.StrEnum):
    """How a model is made better."""

    LORA = "lora"
    QLORA = "qlora"
    FULL = "full"
    DPO = "dpo"


@app.callback()
def _group() -> None:
    """Tune models and promote them on evidence."""


@app.command()
def run(
    dataset: Annotated[str, typer.Argument(help="A data set, or a file that clean wrote.")],
    name: Annotated[str, typer.Option(help="What the new model is called: local:NAME.")],
    base: Annotated[str, typer.Option(help="The local model to begin from.")] = "local:smollm2",
    method: Annotated[Method, typer.Option(help="What is trained.")] = Method.LORA,
    epochs: Annotated[float, typer.Option(help="How often each row is learned from.")] = 1.0,
    lr: Annotated[float | None, typer.Option(help="The highest learning rate.")] = None,
    rank: Annotated[int, typer.Option(help="The rank of the adapters.")] = 16,
    max_tokens: Annotated[int, typer.Option(help="The longest conversation.")] = 512,
    batch_tokens: Annotated[int, typer.Option(help="Tokens that one step learns from.")] = 256,
    eval_share: Annotated[float, typer.Option(help="The share that is held out.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Two runs with one seed are the same.")] = 0,
    budget_hours: Annotated[
        float | None, typer.Option(help="Stop after so many hours and keep the best.")
    ] = None,
    clearance: Annotated[
        str, typer.Option(help="Learn from rows up to this label; the model then carries it.")
    ] = "internal",
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what it would take, and what fits here.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tune a model on conversations and serve it at once.

    The same command after a kill goes on where it was. Ctrl-C keeps the best so far.
    """
    from noria.cli._io.home import open_home
    from noria.config import load
    from noria.tuning import TuneSettings, make_plan, read_learning_rows, tune
    from noria.types import Label

    config = load()
    settings = TuneSettings(
        base=base,
        method=method.value,
        epochs=epochs,
        lr=lr,
        rank=rank,
        max_tokens=max_tokens,
        batch_tokens=batch_tokens,
        eval_share=eval_share,
        seed=seed,
        budget_hours=budget_hours,
    )
    with open_home() as home:
        learned = read_learning_rows(
            dataset,
            home.db,
            clearance=Label.parse(clearance),
            preferences=method is Method.DPO,
        )
    if plan:
        found = make_plan(config, learned, settings)
        if as_json:
            emit(found.as_json())
            return
        table(
            ["method", "checkpointing", ">memory GB", ">hours", "fits"],
            (
                (
                    one.method,
                    "yes" if one.checkpointing else "no",
                    f"{one.bytes / 1e9:.2f}",
                    f"{one.seconds / 3600:.2f}",
                    one.verdict,
                )
                for one in found.options
            ),
            empty="No method was looked at.",
        )
        note(found.basis)
        return
    note(f"{learned.name}: {len(learned.rows)} rows, label {learned.label}.")
    result = tune(config, name, learned, settings, _show)
    if as_json:
        emit(result.as_json())
        return
    figures = result.card.figures
    note(
        f"local:{result.card.name} is served now. {figures['steps']} steps in "
        f"{figures['seconds']} s ({figures['stopped']}); held-out loss "
        f"{figures['base_loss']} before, {figures['held_out_loss']} after."
    )
    for sample in result.card.samples:
        typer.echo(printable(f"\n> {sample['prompt']}"))
        typer.echo(printable(f"before: {sample['before']}\nafter:  {sample['after']}"))


@app.command()
def promote(
    name: Annotated[str, typer.Argument(help="The model of your own that is to serve.")],
    application: Annotated[str, typer.Option("--app", help="The application.")],
    min_probability: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="How sure one must be.")
    ] = 0.95,
    margin: Annotated[
        float, typer.Option(min=0, max=0.4, help="How much worse a cheaper model may be.")
    ] = 0.02,
    against: Annotated[
        str | None, typer.Option(help="The model that serves now; by default what the app asks.")
    ] = None,
    cheaper: Annotated[
        bool,
        typer.Option("--cheaper", help="The new model costs less: within the margin is enough."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let a model serve an application, if its battles show that it is better.

    It may be asked after every battle: that makes no wrong promotion likelier. Exits with 1 and
    the figures where the evidence does not suffice.
    """
    from noria.cli._io.home import open_home
    from noria.config import load
    from noria.tuning.promotion import promote as decide

    with open_home() as home:
        home.take_in()
        evidence, made = decide(
            load(),
            home.db,
            name,
            application,
            against=against,
            min_probability=min_probability,
            margin=margin,
            cheaper=cheaper,
        )
    if as_json:
        emit(evidence.as_json() | {"promoted": made is not None})
    else:
        score = "–" if evidence.score is None else f"{evidence.score:.1%}"
        note(
            f"{evidence.challenger} against {evidence.champion}: {evidence.battles} battles, "
            f"{evidence.wins} won, {evidence.ties} tied, {evidence.losses} lost; score {score} "
            f"({evidence.low:.1%} to {evidence.high:.1%})."
        )
        note(f"Probability of being better: {evidence.probability:.3f}; wanted {min_probability}.")
        if made is not None:
            note(f"{application} asks {evidence.challenger} now. Back: noria tune rollback --app "
                 f"{application}")  # fmt: skip
        elif evidence.more is None:
            note("No number of such battles would suffice; nothing was changed.")
        else:
            note(f"About {evidence.more} more such battles would suffice; nothing was changed.")
    if made is None:
        raise typer.Exit(1)


@app.command()
def rollback(application: Annotated[str, typer.Option("--app", help="The application.")]) -> None:
    """Take an application's newest promotion back, at once."""
    from noria.config import load
    from noria.models.promotions import Promotions

    taken = Promotions(load().home).roll_back(application)
    note(f"{application} asks {taken.replaced} again; {taken.model} no longer serves it.")


@app.command()
def promotions(as_json: AsJson = False) -> None:
    """List promotions, the newest last."""
    from dataclasses import asdict

    from noria.config import load
    from noria.models.promotions import Promotions

    found = Promotions(load().home).all()
    if as_json:
        emit([asdict(one) for one in found])
        return
    table(
        ["app", "model", "in place of", "in force"],
        (
            (one.app, one.model, one.replaced, "no" if one.rolled_back_ns else "yes")
            for one in found
        ),
        empty="Nothing was promoted yet.",
    )


def _show(point: Point) -> None:
    """One line a step, over the last one on a terminal."""
    held_out = f"  held out {point.held_out:.3f}" if point.held_out is not None else ""
    left = point.seconds / point.step * (point.steps - point.step)
    line = f"step {point.step}/{point.steps}  loss {point.loss:.3f}{held_out}  {left:.0f} s left"
    terminal = sys.stderr.isatty()
    if terminal:
        sys.stderr.write(f"\r\x1b[K{line}{chr(10) if held_out else ''}")
    elif held_out or point.step == 1:
        sys.stderr.write(line + "\n")
    sys.stderr.flush()
