"""Data sets: what there is, and one of them with its rows, figures and where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from noria.types import Label
from noria.web.render import context_of, in_thread, key_of, must_be_admin, page
from noria.web.run.transcript import Block, Room, read

if TYPE_CHECKING:
    from noria.datasets import Dataset, Row
    from noria.store import Database

__all__ = ["blocks_of", "routes"]

_ROWS = 10
_ROW_BYTES = 6_000


async def browse(request: Request) -> Response:
    """Every set in its newest version."""
    must_be_admin(request)
    from noria.datasets import list_datasets

    found = await in_thread(list_datasets, context_of(request).db)
    return page(request, "datasets.html", {"found": found})


async def show(request: Request) -> Response:
    """One version of a set: `version`, `language`, `label`, `id` and `cursor` in the address."""
    must_be_admin(request)
    name, query = request.path_params["name"], request.query_params
    clearance = key_of(request).clearance
    values = await in_thread(_read, context_of(request).db, name, query, clearance)
    return page(request, "dataset.html", values | {"query": query, "clearance": clearance})


def _read(db: Database, name: str, query: QueryParams, clearance: Label) -> dict[str, Any]:
    from noria.datasets import Dataset, list_datasets
    from noria.datasets.browsing import find_rows

    version = query.get("version")
    dataset = Dataset.open(db, f"{name}@{version}" if version else name)
    cursor = query.get("cursor", "")
    language = query.get("language")
    found = find_rows(
        db, dataset, clearance=clearance, start=int(cursor) if cursor.isdigit() else 0,
        limit=_ROWS, label=_label(query.get("label")),
        language=None if not language else language.replace("unknown", ""),
        identity=query.get("id") or None,
    )  # fmt: skip
    statistics = dataset.report.get("statistics", {})
    versions = list_datasets(db, name)
    return {
        "one": dataset,
        "versions": versions,
        "compared": _compared(dataset, versions),
        "rows": [(one, blocks_of(one.row, Room(_ROW_BYTES))) for one in found.rows],
        "next": found.next,
        "statistics": statistics,
        "histograms": [
            (title, unit, list(statistics.get(field, {}).items())[:16])
            for title, unit, field in (
                ("Turns", "turns in a row", "turns_per_row"),
                ("Length", "characters from", "characters_per_row"),
            )
        ],
        "cleaning": dataset.report.get("cleaning"),
    }


def _label(text: str | None) -> Label | None:
    try:
        return Label.parse(text) if text else None
    except ValueError:
        return None


def _compared(one: Dataset, versions: list[Dataset]) -> list[tuple[str, int, int]]:
    """The figures of this version beside those of the one before it."""
    older = [other for other in versions if other.at < one.at]
    if not older:
        return []
    before = older[0]
    now, then = (each.report.get("statistics", {}) for each in (one, before))
    return [
        (title, then.get(field, 0), now.get(field, 0))
        for title, field in (
            ("Rows", "rows"), ("Turns", "turns"), ("Characters", "characters"),
            ("Preferences", "preferences"),
        )
    ]  # fmt: skip


def blocks_of(row: Row, room: Room) -> list[Block]:
    """A row's messages as the pages show conversations."""
    shown = read(orjson.dumps({"messages": row.messages}), None, room)[0]
    for side, messages in (("preferred", row.chosen), ("rejected", row.rejected)):
        for block in read(orjson.dumps({"messages": messages or []}), None, room)[0]:
            shown.append(Block(block.role, block.text, side, block.calls, block.cut))
    return shown


routes = [Route("/datasets", browse), Route("/datasets/{name}", show)]
