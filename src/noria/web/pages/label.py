"""Going through the rows of a set, one after another, by keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from noria.types import Label
from noria.web.pages.datasets import blocks_of
from noria.web.render import context_of, in_thread, key_of, must_be_admin, page
from noria.web.run.transcript import Room

if TYPE_CHECKING:
    from noria.store import Database, Key

__all__ = ["routes"]


async def show(request: Request) -> Response:
    """The row of the address, or the first one that this person has not decided about."""
    must_be_admin(request)
    key = key_of(request)
    wanted = request.query_params.get("row", "")
    number = int(wanted) if wanted.isdigit() else None
    name = request.path_params["name"]
    values = await in_thread(_read, context_of(request).db, name, number, key)
    return page(request, "label.html", values)


async def decide(request: Request) -> Response:
    """Keep what was decided and go on to the next row."""
    must_be_admin(request)
    form = await request.form()
    key, name = key_of(request), request.path_params["name"]
    given = {field: str(form.get(field, "")) for field in ("row", "decision", "answer", "tags")}
    following = await in_thread(_decide, context_of(request).db, name, key, given)
    return RedirectResponse(f"/label/{name}" + (f"?row={following}" if following else ""), 303)


def _decide(db: Database, name: str, key: Key, given: dict[str, str]) -> int | None:
    from noria.datasets import Dataset
    from noria.datasets.browsing import find_row
    from noria.datasets.reviewing import next_row, review
    from noria.errors import NoriaError

    dataset = Dataset.open(db, name)
    if not given["row"].isdigit():
        raise NoriaError("row is not the number of a row.")
    number = int(given["row"])
    find_row(db, dataset, number, key.clearance)  # whoever may not see it may not decide
    if given["decision"] != "skip":
        review(
            db, dataset, number, person_of(key), given["decision"],
            answer=given["answer"].replace("\r\n", "\n"), tags=given["tags"].split(","),
        )  # fmt: skip
    return next_row(db, dataset, person_of(key), number, key.clearance)


def _read(db: Database, name: str, number: int | None, key: Key) -> dict[str, Any]:
    from noria.datasets import Dataset
    from noria.datasets.browsing import find_row
    from noria.datasets.reviewing import agreement, next_row, reviews_of

    dataset = Dataset.open(db, name)
    if number is None:
        number = next_row(db, dataset, person_of(key), clearance=key.clearance)
    values: dict[str, Any] = {"one": dataset, "agreement": agreement(db, name), "shown": None}
    if number is None:
        return values
    shown = find_row(db, dataset, number, key.clearance)
    side = shown.row.chosen or shown.row.messages
    answer = next((one for one in reversed(side) if one["role"] == "assistant"), None)
    reviews = reviews_of(db, name).get(shown.digest, [])
    mine = next((one for one in reviews if one.person == person_of(key)), None)
    return values | {
        "shown": shown,
        "blocks": blocks_of(shown.row, Room()),
        "answer": mine.answer if mine and mine.answer else str((answer or {}).get("content") or ""),
        "reviews": reviews,
        "mine": mine,
        "label": Label(shown.row.label),
    }


def person_of(key: Key) -> str:
    """Who decides: the key's user, else its name or id."""
    return key.user or key.name or key.id


routes = [Route("/label/{name}", show), Route("/label/{name}", decide, methods=["POST"])]
