"""`noria arena`: battles, and the ratings that come of them."""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noria.cli._io import options
from noria.cli._io.output import AsJson, emit, note, printable, table

if TYPE_CHECKING:
    from noria.evals import Leaderboard

__all__ = ["app"]

app = typer.Typer(help="Battles between models, and their ratings.", no_args_is_help=True)

_REASONS = {
    "only_wins": "won every battle",
    "only_losses": "lost every battle",
    "one_way": "its group took everything, or nothing, from those that are rated",
    "island": "no chain of battles leads to those that are rated",
}
_FAULTS = {
    "not_utf8": "not UTF-8",
    "not_json": "not JSON",
    "not_an_object": "not a JSON object",
    "missing_field": "without model_a, model_b or winner",
    "unknown_label": "with a winner that is no label",
    "self_battle": "of a model against itself",
    "unknown_model": "of a model that is not in the list",
    "duplicate": "that came before",
    "unreadable_time": "with a tstamp that is no time",
    "bad_propensity": "with a propensity that is not above 0 and at most 1",
    "missing_conversation": "without both conversations",
}


class Method(enum.StrEnum):
    """How ratings are made."""

    BT = "bt"
    ELO = "elo"


@app.command()
def rate(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Battles, as JSON lines or Parquet.")
    ],
    method: Annotated[
        Method, typer.Option(help="bt: exact Bradley-Terry fit; elo: online, in order of time.")
    ] = Method.BT,
    k: Annotated[float, typer.Option(help="Points that a battle of online Elo is about.")] = 4.0,
    bootstrap: Annotated[
        int, typer.Option(min=0, help="Make intervals from so many samples of the battles.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the samples.")] = 0,
    anchor: Annotated[
        str | None,
        typer.Option(metavar="MODEL=RATING", help="Fix one rating; else the mean is 1000."),
    ] = None,
    style: Annotated[
        bool, typer.Option("--style", help="Rate at equal length, headings, lists and bold.")
    ] = False,
    prior: Annotated[
        float,
        typer.Option(
            min=0.0, help="Battles against an average model, half won, that each is given."
        ),
    ] = 0.0,
    propensity: Annotated[
        bool, typer.Option("--propensity", help="Weigh battles by one over their propensity.")
    ] = False,
    category: Annotated[str | None, typer.Option(help="Only battles of this category.")] = None,
    language: Annotated[str | None, typer.Option(help="Only battles in this language.")] = None,
    judge: Annotated[str | None, typer.Option(help="Only battles that this judge decided.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only battles from then on: an age (7d, 24h) or a date.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only battles before then.")] = None,
    as_json: AsJson = False,
) -> None:
    """Rate models by the battles of files.

    A row has model_a, model_b and winner (model_a, model_b, tie or "tie (bothbad)"), and may have
    id, judge, language, category, tstamp, propensity, conversation_a and conversation_b. Rows that
    cannot be used are dropped and counted.
    """
    anchored = _anchor(anchor)
    if k <= 0:
        raise typer.BadParameter("it has to be above 0", param_hint="--k")
    if method is Method.ELO and (style or prior or propensity):
        raise typer.BadParameter(
            "style, prior and propensity are of the method bt", param_hint="--method"
        )
    # Matrices are as wide as there are models: threads would only wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from noria.evals import rate as rate_battles
    from noria.evals import read_battles
    from noria.evals.battles import Selection

    selection = Selection(
        category=category, language=language, judge=judge,
        since=_seconds(since, "--since"), until=_seconds(until, "--until"),
    )  # fmt: skip
    battles = read_battles(
        files, selection=selection, times=method is Method.ELO, propensity=propensity,
        style=style, clusters=True,
    )  # fmt: skip
    board = rate_battles(
        battles, method=method.value, k=k, bootstrap=bootstrap, seed=seed, anchor=anchored,
        style=style, prior=prior, propensity=propensity and method is Method.BT,
    )  # fmt: skip
    if as_json:
        emit(board.as_json())
    else:
        _show(board)


def _show(board: Leaderboard) -> None:
    from noria.web.format import count

    interval = ">interval" if board.ratings and board.ratings[0].lower is not None else ">"
    table(
        [">rank", "model", ">rating", interval, ">battles", ">wins", ">losses", ">ties",
         ">both bad"],
        (
            (
                str(one.rank),
                one.model,
                f"{one.rating:.1f}",
                "" if one.lower is None else f"{one.lower:.1f} to {one.upper:.1f}",
                *(count(of) for of in (one.battles, one.wins, one.losses, one.ties, one.both_bad)),
            )
            for one in board.ratings
        ),
        empty="No model can be rated by these battles.",
    )  # fmt: skip
    note(f"{count(board.battles)} battles.{_intervals(board)}")
    for one in board.unrated:
        why = f"{one.model} is unrated: it {_told(one.reason)} ({count(one.battles)} battles)."
        note(printable(why))
    if board.style:
        moved = (f"{name} {effect.value:+.1f}" for name, effect in board.style.items())
        note(f"Points for one root mean square more: {', '.join(moved)}.")
    for reason, rows in board.dropped.items():
        note(f"Dropped: {count(rows)} rows {_FAULTS[reason]}.")
    if board.not_selected:
        note(f"Not asked for: {count(board.not_selected)} battles.")


def _told(reason: str) -> str:
    told = _REASONS[reason]
    return told if told.startswith(("won", "lost")) else f"has no common scale, since {told}"


def _intervals(board: Leaderboard) -> str:
    if board.intervals is None:
        return " Online Elo has no intervals without --bootstrap."
    told = f" Intervals: {board.confidence:.0%}, {board.intervals}."
    if board.rounds_with_prior:
        told += (
            f" In {board.rounds_with_prior} of {board.rounds} samples a model won or lost "
            "everything; those were fitted with a prior."
        )
    return told


def _anchor(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    model, equals, rating = text.rpartition("=")
    try:
        value = float(rating)
    except ValueError:
        value = float("nan")
    if not (model and equals and abs(value) < float("inf")):
        raise typer.BadParameter(
            f"{text!r} is not a model with its rating, such as gpt-4=1114", param_hint="--anchor"
        )
    return {model: value}


def _seconds(text: str | None, hint: str) -> float | None:
    at = options.instant(text, hint)
    return None if at is None else at / 1e9
