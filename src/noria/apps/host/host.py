"""The host of applications: one process keeps a process for each file that is served.

Every file has a listening socket on loopback from the beginning, so that calls made before its
process is ready, or just after it died, wait there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from noria.apps.host.file_supervisor import SLOTS, FileSupervisor
from noria.apps.host.process import AppProcess
from noria.apps.serve.manifest import Manifest, app_secret, stop_apps
from noria.apps.serve.revisions import read_routes, revision_home, stop_revisions
from noria.config import Config
from noria.errors import AppError

__all__ = ["AppHost"]

log = logging.getLogger("noria.apps")

_BACKLOG = 512
_REVISIONS = 8
"""Deployed revisions that are served at the same time."""
_LOOK_SECONDS = 0.3


class AppHost:
    """Starts, watches and stops the processes of the applications of one home.

    Make it before any process is forked, `run` it in a process of its own, and let the workers call
    `leave`.

    Args:
        config: the configuration.
        files: the files that the applications stand in.
        chore: what is done beside, in the same process, until it ends.

    Raises:
        AppError: a file is missing, or named twice.
    """

    def __init__(
        self,
        config: Config,
        files: Sequence[Path],
        chore: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._config = config
        self._chore = chore
        self.files = [_checked(file) for file in files]
        for file in self.files:
            if self.files.count(file) > 1:
                raise AppError(f"{file} is named twice.", "Name each file once.")
        self._listeners = [socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) for _ in files]
        self._keepers: list[FileSupervisor] = []
        self._revisions: dict[str, tuple[int, asyncio.Task[None]]] = {}
        app_secret(config.home)
        stop_apps(config.home, {str(file) for file in self.files})

    @property
    def rows(self) -> int:
        """How many rows of counts the home needs: for its workers, then for applications."""
        return self._config.server.workers + SLOTS * (len(self.files) + _REVISIONS)

    def leave(self) -> None:
        """In a forked process that is not the host: let go of the sockets."""
        for listener in self._listeners:
            listener.close()

    def run(self) -> None:
        """Keep the processes until SIGTERM."""
        _log_to(self._config.home / "log" / "apps.log")
        asyncio.run(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        self._keepers = [self._keeper(number) for number in range(len(self.files))]
        keeping = [asyncio.create_task(keeper.run()) for keeper in self._keepers]
        keeping.append(asyncio.create_task(self._keep_revisions()))
        if self._chore is not None:
            keeping.append(asyncio.ensure_future(self._chore()))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([stopped, *keeping], return_when=asyncio.FIRST_COMPLETED)
        for task in keeping:
            task.cancel()
        ends = await asyncio.gather(*keeping, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _keep_revisions(self) -> None:
        """Keep the process of every deployed revision, as `deployed.json` names them by now."""
        home = self._config.home
        stop_revisions(home)
        try:
            while True:
                wanted = {
                    revision: file
                    for routed in read_routes(home).values()
                    for revision, file in routed.files().items()
                }
                for revision in self._revisions.keys() - wanted.keys():
                    self._revisions.pop(revision)[1].cancel()
                used = {place for place, _ in self._revisions.values()}
                for revision in wanted.keys() - self._revisions.keys():
                    place = next((n for n in range(_REVISIONS) if n not in used), None)
                    if place is None:
                        _tell(f"revision {revision} waits: {_REVISIONS} are served already", True)
                        break
                    used.add(place)
                    task = asyncio.create_task(self._keep(revision, wanted[revision], place))
                    self._revisions[revision] = (place, task)
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            tasks = [task for _, task in self._revisions.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, revision: str, file: Path, place: int) -> None:
        """Keep one revision, in a folder of its own of the home."""
        with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:
            first = self._config.server.workers + SLOTS * (len(self.files) + place)
            told = _environment(self._config) | {"NORIA_REVISION": revision}
            settings = file.parent / "noria.toml"
            if settings.is_file():
                told["NORIA_CONFIG"] = str(settings)
            told |= {"NORIA_STORE_URL": self._config.store_url}
            home = revision_home(self._config.home, revision)

            async def make(slot: int) -> AppProcess:
                return await AppProcess.begin(
                    file, listener, told, slot=slot, row=first + slot, rows=self.rows
                )

            keeper = FileSupervisor(
                file, home, make, listener, lambda *_: None, _tell, reload=False
            )
            keeper.manifests = [Manifest(_guessed_name(file), str(file))]
            await keeper.run()

    def _keeper(self, number: int) -> FileSupervisor:
        file, listener = self.files[number], self._listeners[number]
        first = self._config.server.workers + SLOTS * number

        async def make(slot: int) -> AppProcess:
            told = _environment(self._config)
            return await AppProcess.begin(
                file, listener, told, slot=slot, row=first + slot, rows=self.rows
            )

        keeper = FileSupervisor(
            file,
            self._config.home,
            make,
            listener,
            self._objection,
            _tell,
            reload=self._config.apps.reload,
        )
        name = _guessed_name(file)
        if any(name in other.names for other in self._keepers):
            name = _other_name(name, number)
        keeper.manifests = [Manifest(name, str(file))]
        return keeper

    def _objection(self, keeper: FileSupervisor, coming: Sequence[Manifest]) -> str | None:
        """Why a file's applications may not be called as they are. Names that were only guessed
        for others give way."""
        for manifest in coming:
            where = f"{manifest.file}, line {manifest.line}"
            if manifest.name in self._config.models:
                return (
                    f"{where}: {manifest.name} is the name of a model in noria.toml, so an "
                    "application cannot have it."
                )
            for number, other in enumerate(self._keepers):
                for theirs in [*other.manifests, *other.coming] if other is not keeper else ():
                    if theirs.name != manifest.name:
                        continue
                    if theirs.line is None:
                        name = _other_name(theirs.name, number)
                        other.manifests = [replace(theirs, name=name)]
                        continue
                    return (
                        f"{where}: there is another application named {manifest.name} in "
                        f"{theirs.file}, line {theirs.line}."
                    )
        return None


def _guessed_name(file: Path) -> str:
    """The name of the application in a file that has not been loaded, as far as it can be seen."""
    try:
        found = re.search(r"""\bApp\(\s*["']([a-z][\w-]*)["']""", file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        found = None
    return found[1] if found else file.stem


def _other_name(name: str, number: int) -> str:
    """What a file is shown as whose application cannot have its name."""
    return f"{name}~{number + 1}"


def _checked(file: Path) -> Path:
    if not file.is_file():
        raise AppError(f"There is no file {file}.", "Make an application with: noria init")
    return file.resolve()


def _environment(config: Config) -> dict[str, str]:
    """What a process is told of the configuration that the server has."""
    told = {"NORIA_HOME": str(config.home)}
    if config.source is not None:
        told["NORIA_CONFIG"] = str(config.source)
    return os.environ | told


def _tell(said: str, wrong: bool) -> None:
    if wrong:
        log.error("%s", said)
    else:
        print(said, file=sys.stderr, flush=True)  # noqa: T201


def _log_to(path: Path) -> None:
    """Keep what goes wrong in a file too."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    log.addHandler(handler)
