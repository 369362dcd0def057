"""`noria spend`: who spent what."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from noria.cli._io import options
from noria.cli._io.home import open_home
from noria.cli._io.output import AsJson, emit, table

__all__ = ["spend"]


class By(enum.StrEnum):
    """What spending is added up by."""

    KEY = "key"
    TEAM = "team"
    USER = "user"
    MODEL = "model"
    APP = "app"
    DAY = "day"


def spend(
    by: Annotated[By, typer.Option(help="What to add up by.")] = By.MODEL,
    since: Annotated[
        str | None,
        typer.Option(help="Only calls from then on: an age (7d, 24h, 30m) or a date; whole hours."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show calls, tokens and money by key, team, user, model, app or day."""
    since_ns = options.instant(since)
    from noria.store import spend as read_spend

    with open_home() as home:
        home.take_in()
        rows = read_spend(home.db, by.value, since_ns=since_ns)
    if as_json:
        emit(
            [
                {
                    by.value: row.name,
                    "calls": row.calls,
                    "input_tokens": row.input_tokens,
                    "output_tokens": row.output_tokens,
                    "spent_nano": row.spent_nano,
                    "uncertain_nano": row.uncertain_nano,
                    "held_nano": row.held_nano,
                    "limit_nano": row.limit_nano,
                    "window": row.window and str(row.window),
                    "window_spent_nano": row.window_spent_nano,
                }
                for row in rows
            ]
        )
        return
    from noria.types import Money
    from noria.web.format import count

    table(
        [by.value, ">calls", ">input tokens", ">output tokens", ">spent", ">held", ">budget"],
        (
            (
                row.name or "(none)",
                count(row.calls),
                count(row.input_tokens),
                count(row.output_tokens),
                _spent(row.spent_nano, row.uncertain_nano),
                str(Money(row.held_nano)),
                _budget(row.limit_nano, row.window, row.window_spent_nano),
            )
            for row in rows
        ),
        empty="Nothing was called yet. Say something: noria chat",
    )


def _spent(spent: int, uncertain: int) -> str:
    from noria.types import Money

    return f"{Money(spent)} ({Money(uncertain)} uncertain)" if uncertain else str(Money(spent))


def _budget(limit: int | None, window: str | None, spent: int | None) -> str:
    from noria.types import Money

    if limit is None:
        return ""
    return f"{Money(spent or 0)} of {Money(limit)} a {window}".replace(" a total", " in all")
