"""A gateway in this process before a fake provider, and people who search."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from noria.config import Config, Provider, Store
from noria.gateway import Gateway
from noria.models import assemble
from noria.retrieval.stored_index import shared_database
from noria.server import open_gateway
from noria.store import Database, Key, create_key, take_in
from noria.testing import FakeProvider
from noria.tracing import CallContext, Trace, current
from noria.types import Label

T = TypeVar("T")


class House:
    """A home with a gateway, whose calls go to a fake provider that embeds.

    Args:
        folder: an empty folder; documents lie in its folder `docs`.
        config: the configuration.
        provider: what `fake:...` models reach.
    """

    def __init__(self, folder: Path, config: Config, provider: FakeProvider) -> None:
        self.folder = folder
        self.docs = folder / "docs"
        self.docs.mkdir()
        self.config = config
        self.provider = provider

    @property
    def db(self) -> Database:
        return shared_database(self.config)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def key(self, *groups: str, clearance: Label = Label.PUBLIC, user: str | None = None) -> Key:
        key, _ = create_key(self.db, user=user, groups=groups, clearance=clearance)
        return key

    def owner(self) -> Key:
        return self.key("*", clearance=Label.RESTRICTED)

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[Gateway]:
        async with open_gateway(self.config, self.db) as gateway:
            yield gateway

    def run(self, work: Callable[[CallContext], Awaitable[T]], key: Key | None = None) -> T:
        """Do something in a run of its own, as somebody (the owner of the home)."""

        async def inside() -> T:
            async with self.gateway() as gateway:
                context = CallContext(gateway, Trace(key or self.owner()))
                token = current.set(context)
                try:
                    return await work(context)
                finally:
                    current.reset(token)

        return asyncio.run(inside())

    def take_in(self) -> None:
        take_in(self.db, assemble)

    def embedded(self) -> list[str]:
        """Every text that the provider was asked to embed."""
        texts: list[str] = []
        for received in self.provider.requests:
            if received.path.endswith("/embeddings"):
                given: Any = received.body["input"]
                texts += [given] if isinstance(given, str) else given
        return texts


def ids(found: Iterable[Any]) -> list[str]:
    return [one.id for one in found]


@pytest.fixture(params=["sqlite", "postgres"])
def house(request: pytest.FixtureRequest, tmp_path: Path, fake: FakeProvider) -> Iterator[House]:
    """A house on either database."""
    store = Store()
    if request.param == "postgres":
        store = Store(url=request.getfixturevalue("postgres_url"))
    config = Config(
        home=tmp_path / "home",
        store=store,
        providers={"fake": Provider(base_url=fake.url, clearance="restricted")},
    )
    made = House(tmp_path, config, fake)
    yield made
    made.db.close()
