"""Who is better, how sure that is, and who beat whom."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from noria.errors import NoriaError
from noria.types import utc_now
from noria.web.draw import charts
from noria.web.draw import leaderboard_svg as drawing
from noria.web.pages.arena import CATEGORIES
from noria.web.render import context_of, in_thread, page, shades_of

if TYPE_CHECKING:
    from markupsafe import Markup

    from noria.config import Config
    from noria.evals import Leaderboard, Rating, Tally
    from noria.store import Database

__all__ = ["routes"]

SOURCES = {
    "human": ("People", ("human",)),
    "judge": ("Judges", ("judge", "shadow")),
    "both": ("Both", ("human", "judge", "shadow")),
}


WINDOWS = {
    "7d": ("last 7 days", timedelta(days=7)),
    "30d": ("last 30 days", timedelta(days=30)),
    "90d": ("last 90 days", timedelta(days=90)),
}
_DAYS = 30


@dataclass(frozen=True, slots=True)
class Row:
    """One rated contestant and its drawing."""

    rating: Rating
    dot: Markup
    cost_nano: int | None
    """What one answer cost on average; None where it was never asked."""


@dataclass(frozen=True, slots=True)
class Standing:
    """All that the page shows of the battles."""

    board: Leaderboard
    names: list[str]
    shares: list[list[float | None]]
    excluded: dict[str, int]
    costs: dict[str, int]
    waiting: int
    """Battles that wait for a person's vote."""
    problem: str | None
    """Why style cannot be accounted for; then the ratings are as without."""
    languages: list[str]
    votes: list[tuple[int, int]]
    """Votes on each of the last days."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenger and the one it is held against."""

    champion: str
    challenger: str
    chance: float | None
    """How probable it is that the challenger is at least as good; None before both are rated."""
    champion_nano: int | None
    challenger_nano: int | None
    """What one answer costs."""

    @property
    def saving(self) -> float | None:
        """The share of its cost that an answer of the challenger saves."""
        if not self.champion_nano or self.challenger_nano is None:
            return None
        return 1 - self.challenger_nano / self.champion_nano


async def show(request: Request) -> Response:
    """The ratings by the votes that the address names."""
    config, query = context_of(request).config, request.query_params
    arena = query.get("arena", "")
    standing = await in_thread(_standing, context_of(request).db, query, arena)
    board = standing.board
    shades = await in_thread(shades_of, request, "model", [one.model for one in board.ratings])
    axis = drawing.axis_of(board.ratings)
    rows = [
        Row(one, drawing.dot(axis, one, shades.get(one.model, "s0")), standing.costs.get(one.model))
        for one in board.ratings
    ]
    values = {
        "board": board,
        "rows": rows,
        "axis": axis,
        "names": standing.names,
        "shares": standing.shares,
        "excluded": standing.excluded,
        "sources": [(name, title) for name, (title, _) in SOURCES.items()],
        "source": _source(query),
        "categories": CATEGORIES,
        "style": "style" in query,
        "arena": arena,
        "arenas": ["", *config.shadow],
        "challenge": _challenge(config, arena, standing),
        "waiting": standing.waiting,
        "problem": standing.problem,
        "languages": standing.languages,
        "windows": [(name, title) for name, (title, _) in WINDOWS.items()],
        "votes_chart": charts.bars(
            "Votes",
            [charts.Series("votes", "s0", [float(number) for _, number in standing.votes])],
            [at for at, _ in standing.votes],
            daily=True,
        ),
    }
    return page(request, "leaderboard.html", values)


def _source(query: QueryParams) -> str:
    # Where challengers fight, judges vote too.
    usual = "both" if query.get("arena") else "human"
    source = query.get("votes", usual)
    return source if source in SOURCES else usual


def _challenge(config: Config, arena: str, standing: Standing) -> Challenge | None:
    settings = config.shadow.get(arena)
    if settings is None:
        return None
    rated = {one.model for one in standing.board.ratings}
    chance = None
    if {arena, settings.challenger} <= rated:
        chance = standing.board.chance_of_at_least(settings.challenger, arena)
    costs = standing.costs
    return Challenge(
        arena, settings.challenger, chance, costs.get(arena), costs.get(settings.challenger)
    )


def _standing(db: Database, query: QueryParams, arena: str) -> Standing:
    from noria.evals import rate
    from noria.evals.arena import export_rows, tally_of
    from noria.store import spend
    from noria.store.evals.pair_counts import (
        count_waiting,
        excluded_by_reason,
        languages_of,
        votes_by_day,
    )

    sources = SOURCES[_source(query)][1]
    category, language = query.get("category") or None, query.get("language") or None
    window = WINDOWS.get(query.get("since", ""))
    since = int((utc_now() - window[1]).timestamp() * 1e9) if window else None
    problem = None
    tally: Tally = tally_of(
        db, sources=sources, arena=arena, category=category, language=language, since_ns=since
    )
    if "style" in query:
        # The measures of style stand in the answers, so every battle is read.
        rows = (row for row in export_rows(db, arena=arena) if row["source"] in sources)
        try:
            board = rate(
                rows, style=True, category=category, language=language,
                since=None if since is None else since / 1e9,
            )  # fmt: skip
        except NoriaError as impossible:
            board, problem = rate(tally), impossible.message
    else:
        board = rate(tally)
    seen = tally.win_matrix()
    names = [one.model for one in board.ratings] + [one.model for one in board.unrated]
    names = [name for name in names if name in seen.models]
    shares = [
        [None if row == column else seen.rate(row, column) for column in names] for row in names
    ]
    spent = [*spend(db, "model"), *spend(db, "app")]
    costs = {row.name: row.spent_nano // row.calls for row in spent if row.name and row.calls}
    excluded = excluded_by_reason(db, sources=sources, arena=arena)
    return Standing(
        board,
        names,
        shares,
        excluded,
        costs,
        count_waiting(db, arena),
        problem,
        languages_of(db, arena),
        votes_by_day(db, _DAYS, sources=sources, arena=arena),
    )


routes = [Route("/leaderboard", show)]
