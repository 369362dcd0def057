"""Learning: runs with their curves, a model's card, and the evidence before it may serve."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from noria.models.own import OwnModels
from noria.models.promotions import Promotions
from noria.web.render import context_of, in_thread, must_be_admin, page

if TYPE_CHECKING:
    from noria.models.own import Card
    from noria.models.promotions import Promotion
    from noria.store import Database
    from noria.tuning.promotion import Evidence

__all__ = ["routes"]

_WANTED = 0.95


@dataclass(frozen=True, slots=True)
class RunUnderWay:
    """A run that has not made its model yet."""

    name: str
    data: str
    step: int
    steps: int
    losses: list[float]
    held_out: list[float | None]


@dataclass(frozen=True, slots=True)
class Contest:
    """An application that a model of one's own could serve, or serves."""

    app: str
    evidence: Evidence
    probabilities: list[float]
    promotion: Promotion | None


async def runs(request: Request) -> Response:
    """Runs under way and models that were tuned."""
    must_be_admin(request)
    home = context_of(request).home
    under_way = await in_thread(_under_way, home)
    cards = await in_thread(OwnModels(home).cards)
    tuned = sorted((card for card in cards if card.curve), key=lambda card: -card.created_ns)
    return page(request, "tuning.html", {"runs": under_way, "cards": tuned})


async def card(request: Request) -> Response:
    """One model of one's own: what it was made of, how it learned, what stands on it."""
    must_be_admin(request)
    own = OwnModels(context_of(request).home)
    found = await in_thread(own.get, request.path_params["name"])
    children = [one.name for one in await in_thread(own.cards) if one.parent == found.name]
    return page(request, "card.html", {"card": found, "children": children})


async def promotion(request: Request) -> Response:
    """The evidence for each model of one's own against what an application asks now."""
    must_be_admin(request)
    context = context_of(request)
    contests = await in_thread(_contests, context.db, context.home)
    history = await in_thread(Promotions(context.home).all)
    values = {"contests": contests, "history": list(reversed(history)), "wanted": _WANTED}
    return page(request, "promotion.html", values)


async def promote(request: Request) -> Response:
    """Promote a model where its evidence suffices, by the command's own decision."""
    from noria.config import load
    from noria.tuning.promotion import promote as decide

    must_be_admin(request)
    context = context_of(request)
    async with request.form() as form:
        name, app = str(form.get("model") or ""), str(form.get("app") or "")
    await in_thread(lambda: decide(load(), context.db, name, app))
    return RedirectResponse("/promotion", 303)


async def roll_back(request: Request) -> Response:
    """Take an application's newest promotion back."""
    must_be_admin(request)
    async with request.form() as form:
        app = str(form.get("app") or "")
    await in_thread(Promotions(context_of(request).home).roll_back, app)
    return RedirectResponse("/promotion", 303)


def _under_way(home: Path) -> list[RunUnderWay]:
    found = []
    for path in sorted((home / "tuning").glob("*/run.json")):
        try:
            started: dict[str, Any] = json.loads(path.read_bytes())
            lines = (path.parent / "curve.jsonl").read_text().splitlines()
            points = [json.loads(line) for line in lines]
        except (OSError, ValueError):
            continue  # begun just now, or ended meanwhile
        if points:
            found.append(
                RunUnderWay(
                    path.parent.name,
                    str(started["data"]["name"]),
                    int(points[-1]["step"]),
                    int(points[-1]["steps"]),
                    [float(point["loss"]) for point in points],
                    [point["held_out"] for point in points],
                )
            )
    return found


def _contests(db: Database, home: Path) -> list[Contest]:
    from noria.apps.serve.manifest import read_apps
    from noria.models.promotions import promoted
    from noria.tuning.promotion import battle_scores, evidence_of, wealth

    cards: list[Card] = [one for one in OwnModels(home).cards() if one.kind != "embed"]
    found = []
    for name, app in read_apps(home).items():
        champion = promoted(home, name) or app.model
        in_force = Promotions(home).in_force(name)
        for one in cards:
            challenger = f"local:{one.name}"
            against = in_force.replaced if in_force and in_force.model == challenger else champion
            if against is None or against == challenger:
                continue
            scores = battle_scores(db, challenger, (against, name))
            if not scores:
                continue
            best, sure = 1.0, []
            for now in wealth(scores, 0.5):
                best = max(best, now)
                sure.append(1 - 1 / best)
            found.append(
                Contest(
                    name,
                    evidence_of(challenger, against, scores, min_probability=_WANTED),
                    sure,
                    in_force if in_force and in_force.model == challenger else None,
                )
            )
    return found


routes = [
    Route("/tuning", runs),
    Route("/models/{name}", card),
    Route("/promotion", promotion),
    Route("/promotion/promote", promote, methods=["POST"]),
    Route("/promotion/rollback", roll_back, methods=["POST"]),
]
