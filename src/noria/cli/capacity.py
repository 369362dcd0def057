"""`noria capacity`: what a target load needs."""

from __future__ import annotations

from typing import Annotated

import typer

from noria.cli._io.home import open_home
from noria.cli._io.output import AsJson, emit, note, table

__all__ = ["capacity"]


def capacity(
    rps: Annotated[float, typer.Option("--rps", help="The target load, in requests a second.")],
    utilisation: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="How much of a part may be used.")
    ] = 0.7,
    hot_share: Annotated[
        float, typer.Option(min=0, max=1, help="The share that one budget pays for.")
    ] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Say what a load needs, from what a request costs on the server that runs on this home."""
    from dataclasses import asdict

    from noria.infra.capacity.measuring import measure
    from noria.infra.capacity.needs import needs_of

    with open_home() as home:
        home.take_in()
        costs = measure(home.db)
    needs = needs_of(costs, rps, utilisation=utilisation, hot_share=hot_share)
    if as_json:
        emit({"costs": asdict(costs)} | needs.as_json())
        return
    table(
        ["part", ">needed", ">used", ">wait ms", ">one bears /s"],
        (
            (
                one.part,
                str(one.servers),
                f"{one.utilisation:.0%}",
                f"{1000 * one.wait_seconds:.2f}",
                f"{one.most:,.0f}",
            )
            for one in needs.parts
        ),
        empty="",
    )
    note(f"The {needs.breaks_first} cannot be bought twice: it breaks at {needs.breaks_at:,.0f}/s.")
