"""The process of one file of applications: `python -m noria.apps.host.runner`, started by the host.

It loads the file, says what is in it, and serves it on a socket that it was handed, once the host
says so. What runs here has a gateway of its own; nothing is asked of a model but through it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.apps.host.channel import Channel
from noria.errors import NoriaError

if TYPE_CHECKING:
    from noria.apps.declare.app import App
    from noria.gateway import Gateway

__all__ = ["main"]

log = logging.getLogger("noria.apps")

_DRAIN_SECONDS = 600.0
"""How long answers may go on that began before the file was changed."""
_STOP_SECONDS = 8.0
_LOOK_SECONDS = 2.0


def main() -> None:
    """Load and serve one file until the host says otherwise or is gone."""
    options = argparse.ArgumentParser(description="The process of one file of applications.")
    options.add_argument("file", type=Path)
    options.add_argument("--listener", type=int, required=True, help="descriptor of the socket")
    options.add_argument("--channel", type=int, required=True, help="descriptor of the channel")
    options.add_argument("--row", type=int, required=True, help="row of its counts")
    options.add_argument("--rows", type=int, required=True, help="rows that there are")
    given = options.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # Nothing may be asked of a model while the file is imported: nobody is asking.
    os.environ["NORIA_APP"] = str(given.file)
    threading.Thread(target=_end_with_host, args=(os.getppid(),), daemon=True).start()
    from noria.apps.run.propagation import follow_threads

    follow_threads()
    apps, failure = _load(given.file)
    import uvloop

    uvloop.run(_live(given, apps, failure))


def _end_with_host(host: int) -> None:
    """End, when the host is gone, also where user code blocks the event loop that would notice."""
    while os.getppid() == host:
        time.sleep(_LOOK_SECONDS)
    time.sleep(_STOP_SECONDS + _LOOK_SECONDS)
    os._exit(1)


def _load(file: Path) -> tuple[list[App], str | None]:
    from noria.apps.host.loader import load_app

    try:
        apps = load_app(file)
    except NoriaError as unusable:
        return [], str(unusable)
    except SystemExit as left:
        return [], f"{file}: it ended the process while it was imported ({left})."
    except BaseException as unusable:  # noqa: BLE001 - user code may raise anything
        return [], f"{file}: {type(unusable).__name__}: {unusable}"
    return apps, None


async def _live(given: argparse.Namespace, apps: list[App], failure: str | None) -> None:
    channel = await Channel.over(socket.socket(fileno=given.channel))
    manifests: list[dict[str, Any]] = []
    if failure is None:
        from noria.apps.serve.describe import describe

        try:
            manifests = [asdict(describe(app)) for app in apps]
        except NoriaError as unusable:
            failure = str(unusable)
    if failure is not None:
        channel.say(failed=failure, files=_files(given.file))
        await channel.hear()
        return
    channel.say(loaded=manifests, files=_files(given.file))
    if await channel.hear() is None:
        return
    os.environ["NORIA_APP"] = ", ".join(app.name for app in apps)
    listener = socket.socket(fileno=given.listener)
    try:
        await _serve(given, apps, channel, listener)
    except NoriaError as away:
        log.error("%s cannot be served: %s", os.environ["NORIA_APP"], away)
        raise SystemExit(1) from None


async def _serve(
    given: argparse.Namespace, apps: list[App], channel: Channel, listener: socket.socket
) -> None:
    from noria.apps.run.budgets import set_app_budgets
    from noria.apps.run.checking import settle
    from noria.apps.serve.alerts import watch_rates
    from noria.apps.serve.client import AppClient
    from noria.apps.serve.handler import AppDoor
    from noria.apps.serve.schedules import Timetable
    from noria.config import load
    from noria.http.server import HTTPServer
    from noria.ids import new_span_id
    from noria.models.state import EngineAddresses
    from noria.server import open_gateway
    from noria.store import Database

    config = load()
    db = Database(config.store_url, config.home, sync=config.journal.sync)
    engines = EngineAddresses(config.home)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with open_gateway(config, db, engines, row=given.row, rows=given.rows) as gateway:
        gateway.applications = client = AppClient(gateway)
        await asyncio.to_thread(set_app_budgets, db, config, apps)
        reception = HTTPServer(config, AppDoor(apps, gateway, db))
        timetable = Timetable(apps, gateway, db, new_span_id())
        await reception.open(listener)
        timetable.start()
        channel.say(ready=os.getpid())
        chores = [
            asyncio.create_task(_index(apps, gateway, channel)),
            asyncio.create_task(_report_files(given.file, channel)),
            asyncio.create_task(watch_rates(apps, db)),
        ]
        patience = await _until_told(channel, stopping)
        reception.accept_no_more()
        channel.say(accepting=False)
        for chore in chores:
            chore.cancel()
        await asyncio.gather(reception.close(patience), timetable.stop(patience))
        await settle(min(patience, _STOP_SECONDS))
        client.close()
    db.close()


async def _until_told(channel: Channel, stopping: asyncio.Event) -> float:
    """Wait for the end, and tell how many seconds there are for it."""
    hearing = asyncio.ensure_future(channel.hear())
    stopped = asyncio.ensure_future(stopping.wait())
    await asyncio.wait([hearing, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    draining = hearing.done() and hearing.result() == {"drain": True}
    hearing.cancel()
    return _DRAIN_SECONDS if draining else _STOP_SECONDS


async def _index(apps: list[App], gateway: Gateway, channel: Channel) -> None:
    """Bring the indexes up to date, one after the other, and tell the host."""
    from noria.apps.serve.schedules import system_context

    for app in apps:
        for name, index in app.indexes.items():
            error: str | None = None
            try:
                await index.build(system_context(gateway, app))
            except NoriaError as failure:
                error = failure.message
            except Exception as failure:
                log.exception("the index %s cannot be built", name)
                error = f"{type(failure).__name__}: {failure}"
            state = "failed" if error else "ready"
            channel.say(index=name, app=app.name, state=state, error=error)


async def _report_files(file: Path, channel: Channel) -> None:
    """Tell the host which of the folder's files were imported later on."""
    modules = len(sys.modules)
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if len(sys.modules) != modules:
            modules = len(sys.modules)
            channel.say(files=_files(file))


def _files(file: Path) -> list[str]:
    """The file and the modules of its folder that it has imported."""
    folder = file.absolute().parent
    found = {str(file.absolute())}
    for module in tuple(sys.modules.values()):
        path = None
        with suppress(Exception):  # a module may be any object
            path = module.__file__
        if isinstance(path, str) and Path(path).is_relative_to(folder):
            inside = Path(path).relative_to(folder).parts
            if not any(part.startswith(".") or part == "site-packages" for part in inside):
                found.add(path)
    return sorted(found)


if __name__ == "__main__":
    main()
