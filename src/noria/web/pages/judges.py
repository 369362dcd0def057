"""Judging the judges: do they agree with people, and what do they favour?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from noria.web.render import context_of, in_thread, must_be_admin, page

if TYPE_CHECKING:
    from noria.evals.reliability import Agreement, LengthPreference, PositionBias
    from noria.evals.verdicts import Winner
    from noria.statistics import Interval
    from noria.store import Database

__all__ = ["routes"]

_SIDES = {"model_a": "a", "model_b": "b", "tie": "tie", "tie (bothbad)": "tie"}


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of one judge."""

    judge: str
    looks: int
    kinds: dict[str, int]
    with_ties: Agreement
    without_ties: Agreement
    position: PositionBias
    length: LengthPreference | None
    own: Interval | None
    """By how much more it likes its own model than people do; None where it did not fight."""
    repeats: Interval | None


async def show(request: Request) -> Response:
    """Every judge that looked at a battle."""
    must_be_admin(request)
    cards = await in_thread(_cards, context_of(request).db)
    return page(request, "judges.html", {"cards": cards})


def _cards(db: Database) -> list[Card]:
    from noria.store.evals.judgements import judges

    return [_card(db, judge, looks) for judge, looks in judges(db).items()]


def _card(db: Database, judge: str, looks: int) -> Card:
    from collections import Counter

    from noria.evals import reliability
    from noria.evals.verdicts import Verdict
    from noria.store.evals.judgements import looks_of

    seen = looks_of(db, judge)
    judged = [
        reliability.Judged(
            one.model_a,
            one.model_b,
            cast("Winner | None", one.look.winner),
            cast("Winner | None", _SIDES.get(one.people or "")),
            one.length_a,
            one.length_b,
        )
        for one in seen
    ]
    both = [one for one in judged if one.people is not None]
    mine, theirs = [one.judge for one in both], [one.people for one in both]
    repeats: dict[str, list[Any]] = {}
    for one in seen:
        repeats.setdefault(one.look.battle_id, []).append(one.look.winner)
    pairs = [
        (_verdict(Verdict, one.look.shown), _verdict(Verdict, one.look.exchanged)) for one in seen
    ]
    return Card(
        judge,
        looks,
        dict(Counter(one.look.kind for one in seen)),
        reliability.agreement(mine, theirs),
        reliability.agreement(mine, theirs, ties=False),
        reliability.position_bias(pairs),
        _or_none(reliability.length_preference, judged),
        _or_none(reliability.self_preference, judged, judge),
        _or_none(reliability.repeatability, repeats.values()),
    )


def _verdict(make: Any, chosen: str) -> Any:
    if chosen in ("a", "b", "tie"):
        return make("tie" if chosen == "tie" else "winner", chosen)
    return make(chosen)


def _or_none(measure: Any, *given: Any) -> Any:
    """A measure, or None where there is nothing to take it of."""
    try:
        return measure(*given)
    except ValueError:
        return None


routes = [Route("/judges", show)]
