"""Who answers: health, price, abilities and weights of each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from noria.errors import ApiError
from noria.models.prices import ComputePrice, Price, ScheduledPrice, TokenPrice
from noria.models.state import EngineAddresses, Phase
from noria.types import Status
from noria.web.draw.charts import money_mark
from noria.web.pulls import Pull, Pulls
from noria.web.render import chosen_range, context_of, in_thread, must_be_admin, page

if TYPE_CHECKING:
    from pathlib import Path

    from noria.models.catalogue import Capabilities, Catalogue, Target
    from noria.store import Database, Group

__all__ = ["routes"]

_RECENT = 50
"""Calls that the recent latency is taken from."""


@dataclass(frozen=True, slots=True)
class Card:
    """One model as the page shows it."""

    name: str
    targets: tuple[Target, ...]
    state: str
    """`ready`, `absent`, `pulling`, `crashed`, ... for a local model, `reachable` for others."""
    message: str | None
    """What is wrong with it."""
    pull: Pull | None
    price: str
    capabilities: Capabilities | None
    group: Group | None
    """Its calls in the last 24 hours."""
    durations_ms: Sequence[float]
    """Of the latest calls that were answered, the oldest first."""
    own: str | None
    """Its name, where it is a model of one's own with a card."""

    @property
    def weights(self) -> str | None:
        """The local model whose weights it needs."""
        return self.targets[0].model if self.targets and self.targets[0].local else None

    @property
    def middle_ms(self) -> float | None:
        """Half of the latest calls took less."""
        return median(self.durations_ms) if self.durations_ms else None


async def show(request: Request) -> Response:
    """Every model of the configuration, and hosted ones that were called in the last 24 hours."""
    must_be_admin(request)
    context = context_of(request)
    await in_thread(context.take_in)
    cards = await in_thread(_cards, request)
    return page(request, "models.html", {"cards": cards})


async def pull(request: Request) -> Response:
    """Begin to pull a local model's weights."""
    must_be_admin(request)
    name = request.path_params["name"]
    context = context_of(request)
    await in_thread(Pulls(context.home, context.catalogue.local).begin, name)
    return RedirectResponse("/models", 303)


def _cards(request: Request) -> list[Card]:
    from noria.store import overview

    context, today = context_of(request), chosen_range(request, "24h")
    groups = {
        group.name: group
        for group in overview(context.db, today.since_ns, today.until_ns, "hour").by_model
    }
    names = context.catalogue.names()
    names += sorted(name for name in groups if name and name not in names)
    pulls = Pulls(context.home, context.catalogue.local)
    return [
        _card(context.catalogue, context.db, context.home, pulls, name, groups.get(name))
        for name in names
    ]


def _card(
    catalogue: Catalogue, db: Database, home: Path, pulls: Pulls, name: str, group: Group | None
) -> Card:
    from noria.store import find_spans

    problem: str | None = None
    targets: tuple[Target, ...] = ()
    try:
        targets = catalogue.resolve(name).targets
    except ApiError as refused:
        problem = refused.message
    local = targets[0].model if targets and targets[0].local else None
    state, message, pull = "reachable" if targets else "keyless", problem, None
    if local:
        state, message, pull = _engine(home, local, pulls)
    rows = find_spans(db, limit=_RECENT, model=name, status=Status.OK).rows if group else []
    return Card(
        name,
        targets,
        state,
        message,
        pull,
        price_text(targets[0].price) if targets else "–",
        targets[0].capabilities if targets else None,
        group,
        [row.duration_ms for row in reversed(rows) if row.duration_ms is not None],
        local if local and not catalogue.local.fixed(local) else None,
    )


def _engine(home: Path, model: str, pulls: Pulls) -> tuple[str, str | None, Pull | None]:
    """The state of a local model, what there is to say of it, and how far its pull has come."""
    pull = pulls.find(model)
    if pull is not None and pull.running:
        return "pulling", None, pull
    engine = EngineAddresses(home).state(model)
    if engine is not None and engine.state is Phase.PULLING:
        return "pulling", None, Pull(0, engine.stage or "", engine.done, engine.total)
    if not pulls.present(model):
        return "absent", pull.problem if pull else None, None
    if engine is None:
        return "stopped", None, None
    return str(engine.state), engine.message, None


def price_text(price: Price | None) -> str:
    """A price in a few words, per million tokens."""
    if isinstance(price, ScheduledPrice):
        return f"{price_text(price.variants[0][1])}, by the hour of the day"
    if isinstance(price, ComputePrice):
        if not price.per_second:
            return "free"
        return f"{money_mark(price.per_second * 3600)} an hour of computing"
    if not isinstance(price, TokenPrice):
        return "unknown"
    first = price.tiers[0]
    if not (first.input or first.output or price.per_request):
        return "free"
    text = f"{money_mark(first.input)} in, {money_mark(first.output)} out"
    return f"{text}, more for long prompts" if len(price.tiers) > 1 else text


routes = [
    Route("/models", show),
    Route("/models/{name}/pull", pull, methods=["POST"]),
]
