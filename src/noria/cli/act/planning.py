"""`noria act plan`: words into a plan that can be read, priced and signed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from noria.cli._io.output import AsJson, emit, note, printable, table
from noria.cli.act.opened import opened

if TYPE_CHECKING:
    from noria.actions.choosing import Ask, Prompt
    from noria.actions.plan import Plan
    from noria.actions.plans.store import StoredPlan
__all__ = ["plan"]

_NOT_READY = 3


def plan(
    words: Annotated[str, typer.Argument(metavar="WORDS", help="What is to be done, in words.")],
    model: Annotated[
        str, typer.Option(help="Who chooses where rules do not understand the words.")
    ] = "local:smollm2",
    catalogue: Annotated[
        list[str] | None, typer.Option(help="Only this part of the catalogue; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a plan of API calls from words, priced and checked. Nothing is carried out.

    Exits with 0 where the plan is ready, with 3 where it is refused or asks for something.
    """
    with opened() as at:
        stored = asyncio.run(at.desk.plan(words, at.key, _when_needed(model), names=catalogue))
    if as_json:
        emit(stored.plan.as_json())
    else:
        _show(stored)
    if stored.plan.status != "ready":
        raise typer.Exit(_NOT_READY)


def _when_needed(model: str) -> Ask:
    """Ask a model; the gateway and its engines are opened only then."""

    async def ask(prompt: Prompt) -> str:
        from noria.actions.choosing import ask_with
        from noria.apps.model.model import Model
        from noria.apps.run.standalone import close

        try:
            return await ask_with(Model(model))(prompt)
        finally:
            await asyncio.to_thread(close)

    return ask


def _show(stored: StoredPlan) -> None:
    made = stored.plan
    note(f"Plan {made.id}, {made.status}. Hash {made.hash[:16]}.")
    if made.reason:
        note(printable(made.reason))
    rows = [
        (str(place), call.operation, name, str(value), call.sources[name].kind,
         call.sources[name].text)
        for place, call in enumerate(made.calls, 1)
        for name, value in call.arguments.items()
    ]  # fmt: skip
    if rows:
        table(["call", "operation", "argument", "value", "from", "which says"], rows, empty="")
        note(f"{_money(made.price_hour_nano)} an hour, at most {_money(made.ceiling_nano)} in "
             f"{made.time_to_live_s / 3600:g} h.")  # fmt: skip
    for text in made.assumptions:
        note(printable(text))
    _show_alternatives(made)
    if made.status == "ready":
        note(f"Carry it out: noria act apply {made.id}")


def _show_alternatives(made: Plan) -> None:
    if not made.alternatives:
        return
    note("Instead:" if made.status != "ready" else "It is met by these as well:")
    table(
        ["plan", "provider", "region", ">count", "type", ">an hour", "how"],
        (
            (
                f"{made.id}.{number}",
                one.provider,
                one.region,
                str(one.count),
                one.instance_type,
                _money(one.price_hour_nano),
                one.why,
            )
            for number, one in enumerate(made.alternatives, 1)
        ),
        empty="",
    )


def _money(nano: int) -> str:
    return f"{nano / 1e9:,.2f} USD"
