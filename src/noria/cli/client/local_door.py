"""The way to the models: through this home's server when one runs, else in this process."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from noria.cli._io.home import Home, open_home
from noria.cli.client.home_client import Answer, Door
from noria.errors import ApiError, NoriaError
from noria.home import running_server
from noria.store.keys.owner_key import owner_key

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from noria.config import Config
    from noria.gateway import Gateway
    from noria.store import Key

__all__ = ["open_door"]


@contextlib.contextmanager
def open_door(config: Config) -> Iterator[Door]:
    """The way to the models of this home.

    The key is that of NORIA_KEY, else of the home's owner: whoever may write to the home.

    Raises:
        NoriaError: NORIA_KEY is not a key of this home, or the database is away.
    """
    server = running_server(config.home)
    if server is None:
        with _open_in_process(config) as door:
            yield door
    else:
        with open_home(config) as home:
            secret = _secret(home)
        with contextlib.closing(_HttpDoor(server.url, secret)) as door:
            yield door


class _HttpDoor:
    """The server that runs on this home."""

    def __init__(self, url: str, secret: str) -> None:
        import httpx2

        self._client = httpx2.Client(
            base_url=f"{url}/v1",
            headers={"Authorization": f"Bearer {secret}", "Content-Type": "application/json"},
            # The server keeps the time; a first call may wait for weights to be pulled.
            timeout=httpx2.Timeout(10.0, read=None),
        )

    @contextlib.contextmanager
    def post(self, path: str, body: bytes) -> Iterator[Answer]:
        """Send the request and stream what comes back."""
        import httpx2

        try:
            with self._client.stream("POST", path, content=body) as response:
                yield Answer(response.status_code, response.headers, response.iter_raw())
        except httpx2.HTTPError as lost:
            raise NoriaError(
                f"The server at {self._client.base_url} broke off: {lost or type(lost).__name__}.",
                "Look at it with: noria doctor",
            ) from None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


@contextlib.contextmanager
def _open_in_process(config: Config) -> Iterator[Door]:
    """The gateway's core in this process, on an event loop in a thread of its own."""
    from anyio.from_thread import start_blocking_portal

    from noria.models.host import EngineHost
    from noria.server import open_gateway
    from noria.store import digest, find_key, sync_budgets

    with open_home(config) as home:
        sync_budgets(home.db, config)
        key = find_key(home.db, digest(_secret(home)))
        if key is None or key.revoked_ns is not None:
            raise NoriaError(
                "NORIA_KEY is not a key of this home, or was revoked.",
                "Unset it to call as the home's owner, or make a key: noria key create",
            )
        engines = EngineHost(config)
        engines.start(pull=())
        try:
            with (
                start_blocking_portal() as portal,
                portal.wrap_async_context_manager(
                    open_gateway(config, home.db, engines)
                ) as gateway,
            ):
                yield _OwnDoor(gateway, key, portal)
        finally:
            engines.stop()


def _secret(home: Home) -> str:
    return os.environ.get("NORIA_KEY") or owner_key(home.config.home, home.db).read_text().strip()


class _OwnDoor:
    """The gateway's core in this process."""

    def __init__(self, gateway: Gateway, key: Key, portal: BlockingPortal) -> None:
        self._gateway = gateway
        self._key = key
        self._portal = portal

    @contextlib.contextmanager
    def post(self, path: str, body: bytes) -> Iterator[Answer]:
        """Make the call; leaving early cancels it, as a client that hangs up does."""
        import orjson

        from noria.http import BufferedSink
        from noria.models import Endpoint

        endpoint = next(one for one in Endpoint if one.path == path.encode())
        sink = BufferedSink()
        pieces: queue.SimpleQueue[bytes | ApiError | None] = queue.SimpleQueue()
        ended = threading.Event()

        async def collect() -> None:
            try:
                async for piece in sink.pieces():
                    pieces.put(piece)
            except ApiError as refusal:
                pieces.put(refusal)

        async def call() -> None:
            import anyio

            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(collect)
                    await self._gateway.call(endpoint, self._key, body, sink)
            finally:
                pieces.put(None)
                ended.set()

        calling = self._portal.start_task_soon(call)
        try:
            first = pieces.get()
            headers = {name.decode().lower(): value.decode() for name, value in sink.headers}
            if isinstance(first, ApiError):
                yield Answer(first.status, headers, iter([orjson.dumps(first.body())]))
            else:
                yield Answer(200, headers, _until_none(first, pieces))
                if ended.is_set():
                    calling.result()
        finally:
            calling.cancel()
            ended.wait()


def _until_none(
    first: bytes | None, pieces: queue.SimpleQueue[bytes | ApiError | None]
) -> Iterator[bytes]:
    piece: bytes | ApiError | None = first
    while piece is not None:
        if isinstance(piece, ApiError):
            raise piece
        yield piece
        piece = pieces.get()
