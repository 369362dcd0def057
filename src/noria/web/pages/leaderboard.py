"""Who is better, how sure that is, and who beat whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from noria.web import standings as drawing
from noria.web.pages.arena import CATEGORIES
from noria.web.render import context_of, in_thread, page, shades_of

if TYPE_CHECKING:
    from markupsafe import Markup

    from noria.evals import Leaderboard, Rating, Tally
    from noria.store import Database

__all__ = ["routes"]

SOURCES = {
    "human": ("People", ("human",)),
    "judge": ("Judges", ("judge", "shadow")),
    "both": ("Both", ("human", "judge", "shadow")),
}


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


async def show(request: Request) -> Response:
    """The ratings by the votes that the address names."""
    db, query = context_of(request).db, request.query_params
    standing = await in_thread(_standing, db, query)
    board = standing.board
    shades = await in_thread(shades_of, request, "model")
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
    }
    return page(request, "leaderboard.html", values)


def _source(query: QueryParams) -> str:
    source = query.get("votes", "human")
    return source if source in SOURCES else "human"


def _standing(db: Database, query: QueryParams) -> Standing:
    from noria.evals import rate
    from noria.evals.arena import export_rows, tally_of
    from noria.store import spend
    from noria.store.battles import excluded_by_reason

    sources = SOURCES[_source(query)][1]
    category = query.get("category") or None
    tally: Tally = tally_of(db, sources=sources, category=category)
    if "style" in query:
        # The measures of style stand in the answers, so every battle is read.
        rows = (row for row in export_rows(db, arena="") if row["source"] in sources)
        board = rate(rows, style=True, category=category)
    else:
        board = rate(tally)
    seen = tally.win_matrix()
    names = [one.model for one in board.ratings] + [one.model for one in board.unrated]
    names = [name for name in names if name in seen.models]
    shares = [
        [None if row == column else seen.rate(row, column) for column in names] for row in names
    ]
    costs = {row.name: row.spent_nano // row.calls for row in spend(db, "model") if row.calls}
    return Standing(board, names, shares, excluded_by_reason(db, sources=sources), costs)


routes = [Route("/leaderboard", show)]
