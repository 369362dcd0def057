"""The benchmark's own home, kept between runs: the passages in an index, with their vectors."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.retrieval.corpus import Package
from noria.config import Config
from noria.models.host import EngineHost
from noria.retrieval import Index
from noria.retrieval.stored_index import shared_database
from noria.server import open_gateway
from noria.store import digest, find_key
from noria.store.keys.owner_key import owner_key
from noria.tracing.context import CallContext, Trace

MODEL = "local:minilm"


def cache() -> Path:
    """Where what takes long is kept."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "noria" / "benchmarks" / "retrieval"


def index_of(chosen: list[Package], name: str = "packages") -> Index:
    """An index of packages, a tenth of which only some may see."""

    def source() -> list[dict[str, object]]:
        return [
            {
                "id": package.name,
                "title": package.name,
                "text": package.text,
                "grants": ["staff"] if number % 10 == 0 else [],
                "label": "internal" if number % 10 == 1 else "public",
            }
            for number, package in enumerate(chosen)
        ]

    return Index(name, source, embed=MODEL)


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[CallContext]:
    """A gateway with the embedded engine, and a place for its owner."""
    db = shared_database(config)
    key = find_key(db, digest(owner_key(config.home, db).read_text().strip()))
    assert key is not None
    engines = EngineHost(config)
    engines.start(pull=())
    try:
        async with open_gateway(config, db, engines) as gateway:
            yield CallContext(gateway, Trace(key))
    finally:
        engines.stop()
