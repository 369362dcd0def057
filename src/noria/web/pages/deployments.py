"""Deployments: what serves where, the share and evidence of canaries, what was decided; and the
catalogue of resources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from noria.web.render import context_of, in_thread, must_be_admin, page

if TYPE_CHECKING:
    from noria.infra.deploying.canary import Outlook
    from noria.infra.deploying.records import Deployment
    from noria.infra.deploying.revision import Change
    from noria.store import Database

__all__ = ["routes"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A deployment, and what the evidence of its canary says."""

    one: Deployment
    outlook: Outlook | None


async def browse(request: Request) -> Response:
    """Every deployment, and the newest decisions."""
    must_be_admin(request)
    return page(request, "deployments.html", await in_thread(_read, context_of(request).db))


async def compare(request: Request) -> Response:
    """In what two revisions differ: `a` and `b` in the address."""
    must_be_admin(request)
    one, other = request.query_params.get("a", ""), request.query_params.get("b", "")
    found = await in_thread(_changes, context_of(request).db, one, other)
    return page(request, "revisions.html", {"before": one, "after": other, "found": found})


async def act(request: Request) -> Response:
    """Promote or take back a canary, or go back to the revision before."""
    from noria.config import load
    from noria.infra.deploying.deploy import promote, roll_back

    must_be_admin(request)
    context = context_of(request)
    async with request.form() as form:
        app, target = str(form.get("app") or ""), str(form.get("target") or "")
    doing = promote if request.path_params["action"] == "promote" else roll_back
    config = load(context.config.source) if context.config.source else context.config
    await in_thread(doing, config, context.db, app, target)
    return RedirectResponse("/deployments", 303)


async def resources(request: Request) -> Response:
    """The catalogue of resources."""
    must_be_admin(request)
    from noria.infra.catalogue.entries import list_resources

    found = await in_thread(list_resources, context_of(request).db)
    return page(request, "resources.html", {"found": found})


async def try_resource(request: Request) -> Response:
    """Connect to a resource once."""
    must_be_admin(request)
    from noria.infra.catalogue.entries import test_resource

    await in_thread(test_resource, context_of(request).db, request.path_params["name"])
    return RedirectResponse("/resources", 303)


def _read(db: Database) -> dict[str, Any]:
    from noria.infra.deploying.canary import outlook
    from noria.infra.deploying.records import decisions, list_deployments

    shown = [
        Shown(one, outlook(one.evidence) if one.evidence else None) for one in list_deployments(db)
    ]
    return {"found": shown, "decisions": decisions(db, limit=50)}


def _changes(db: Database, one: str, other: str) -> list[Change]:
    from noria.infra.deploying.records import find_revision
    from noria.infra.deploying.revision import changes

    return changes(find_revision(db, one), find_revision(db, other))


routes = [
    Route("/deployments", browse),
    Route("/deployments/diff", compare),
    Route("/deployments/{action:str}", act, methods=["POST"]),
    Route("/resources", resources),
    Route("/resources/{name}/test", try_resource, methods=["POST"]),
]
