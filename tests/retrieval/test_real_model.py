"""The real embedding model: another wording finds the passage, and a long one is no obstacle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from noria.config import Config
from noria.models.host import EngineHost
from noria.retrieval import Chunking, Index
from noria.retrieval.stored_index import shared_database
from noria.server import open_gateway
from noria.store import create_key
from noria.tracing import CallContext, Trace, current

pytestmark = pytest.mark.engine

T = TypeVar("T")
PASSAGES = {
    "leave": "Every employee may take twenty-five days off each year.",
    "pay": "Wages are transferred on the last working day of the month.",
    "fire": "Leave the building by the nearest staircase and gather in the car park.",
    "parking": "Bicycles belong in the cellar, never in the corridor.",
    "code": "Error E4711 means that the pump has lost its prime.",
}


def run(folder: Path, work: Callable[[], Awaitable[T]]) -> T:
    config = Config(home=folder / "home")
    db = shared_database(config)
    key, _ = create_key(db)
    engines = EngineHost(config)
    engines.start(pull=("minilm",))

    async def inside() -> T:
        async with open_gateway(config, db, engines) as gateway:
            current.set(CallContext(gateway, Trace(key)))
            return await work()

    try:
        return asyncio.run(inside())
    finally:
        engines.stop()
        db.close()


def test_both_wording_and_numbers_find_their_passage(tmp_path: Path) -> None:
    index = Index(
        "rules",
        lambda: [
            *({"id": name, "text": text} for name, text in PASSAGES.items()),
            {"id": "numbers", "text": "1 " * 6_000},
        ],
        chunk=Chunking(4096, 0),
    )

    async def work() -> list[str]:
        report = await index.build()
        assert (report.embedded, report.failed) == (report.chunks, [])
        first = []
        for question in (
            "How long can my holiday be?",
            "What do I do in an emergency?",
            "When do I get my salary?",
            "E4711",
        ):
            (best, *_) = await index.explain(question, k=2)
            assert best.why.startswith("found by its ")
            first.append(best.document.id)
        return first

    assert run(tmp_path, work) == ["leave", "fire", "pay", "code"]
