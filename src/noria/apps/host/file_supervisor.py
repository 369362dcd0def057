"""Keeping the process of one file of applications: started, started anew when the file changes or
the process dies, and answered for while there is none.

A changed file is loaded in a new process beside the old one, which goes on to serve. Only when the
new one serves does the old one stop to accept; what it is answering it answers to the end.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from noria.apps.host.file_watch import FileWatcher
from noria.apps.host.process import AppProcess
from noria.apps.host.unavailable import answer_unavailable
from noria.apps.serve.manifest import Manifest, Phase, forget_app, write_app

__all__ = ["SLOTS", "FileSupervisor"]

SLOTS = 4
"""Processes of one file at the same time: one that serves, one that starts, and those that end."""
_DEATHS = 3
_WITHIN_SECONDS = 60.0
_BACKOFF_SECONDS = (0.0, 0.5, 2.0)
_COOL_DOWN_SECONDS = 30.0
_STOP_SECONDS = 12.0
_GIVE_WAY_SECONDS = 2.0

Objection = Callable[["FileSupervisor", Sequence[Manifest]], str | None]


class FileSupervisor:
    """The keeper of one file.

    Args:
        file: the file.
        home: the state folder.
        make: starts a process in a slot.
        listener: the socket that the file's applications are reached on.
        objection: asked why applications may not be called as they are; None where they may.
        tell: says something to whoever started the server.
        reload: whether a changed file is taken over.
    """

    def __init__(
        self,
        file: Path,
        home: Path,
        make: Callable[[int], Awaitable[AppProcess]],
        listener: socket.socket,
        objection: Objection,
        tell: Callable[[str, bool], None],
        *,
        reload: bool,
    ) -> None:
        self.file = file
        self.manifests: list[Manifest] = []
        """What the process that serves has said, or what is guessed before one has."""
        self.coming: list[Manifest] = []
        """What the process that starts has said."""
        self._home = home
        self._make = make
        self._listener = listener
        self._port: int = listener.getsockname()[1]
        self._objection = objection
        self._tell = tell
        self._watch = FileWatcher([file]) if reload else None
        self._changed = asyncio.Event()
        self._current: AppProcess | None = None
        self._leaving: set[AppProcess] = set()
        self._attending: deque[asyncio.Task[None]] = deque(maxlen=SLOTS)
        self._deaths: deque[float] = deque(maxlen=_DEATHS)
        self._error: str | None = None

    @property
    def names(self) -> list[str]:
        """The applications that it serves, or is thought to."""
        return [manifest.name for manifest in self.manifests]

    async def run(self) -> None:
        """Keep it until this is cancelled."""
        watching = asyncio.create_task(self._look())
        self._write(Phase.STARTING)
        try:
            while True:
                if await self._launch():
                    await self._until_needed()
                else:
                    await self._until_better()
        finally:
            watching.cancel()
            await self._stop()

    # Starting

    async def _launch(self) -> bool:
        """Start a process and, when it is ready, let it take over. False where it could not."""
        self._changed.clear()
        process: AppProcess = await self._make(self._free_slot())
        starting = asyncio.create_task(self._bring_up(process))
        changing = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait([starting, changing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            changing.cancel()
            if not starting.done():
                starting.cancel()
                process.kill()
        if not starting.done():
            return True  # and it is needed anew at once
        if starting.result():
            return True
        process.kill()
        return self._current is not None

    async def _bring_up(self, process: AppProcess) -> bool:
        while (said := await process.hear()) is not None:
            if self._watch is not None and "files" in said:
                self._watch.add(said["files"])
            if "failed" in said:
                self._fail(said["failed"])
                return False
            if "loaded" in said:
                coming = [Manifest(**one) for one in said["loaded"]]
                if (why := self._objection(self, coming)) is not None:
                    self._fail(why)
                    return False
                self.coming = coming
                process.say("serve")
            if "ready" in said:
                await self._take_over(process)
                return True
        self._count_death(await process.ended, "before it was ready")
        return False

    async def _take_over(self, process: AppProcess) -> None:
        old, self._current = self._current, process
        self._attending.append(asyncio.create_task(self._attend(process)))
        if old is not None:
            self._leaving.add(old)
            old.ended.add_done_callback(lambda _: self._leaving.discard(old))
            old.say("drain")
            with suppress(TimeoutError):  # it is blocked, and goes when it can
                async with asyncio.timeout(_GIVE_WAY_SECONDS):
                    await old.gives_way.wait()
        for name in set(self.names) - {manifest.name for manifest in self.coming}:
            forget_app(self._home, name)
        self.manifests, self.coming, self._error = self.coming, [], None
        self._write(Phase.READY)
        again = "was loaded anew" if old is not None else "is ready"
        self._tell(f"{', '.join(self.names)} {again} ({self.file})", False)

    async def _attend(self, process: AppProcess) -> None:
        """Hear what a process says from when it serves to its end."""
        while (said := await process.hear()) is not None:
            if "accepting" in said:
                process.gives_way.set()
            if process is not self._current:
                continue
            if self._watch is not None and "files" in said:
                self._watch.add(said["files"])
            if "index" in said:
                self._note_index(said)

    def _note_index(self, said: dict[str, Any]) -> None:
        for place, manifest in enumerate(self.manifests):
            if manifest.name == said["app"]:
                indexes = [
                    one | {"state": said["state"], "error": said["error"]}
                    if one["name"] == said["index"]
                    else one
                    for one in manifest.indexes
                ]
                self.manifests[place] = replace(manifest, indexes=indexes)
        if said["error"]:
            self._tell(f"the index {said['index']} cannot be built: {said['error']}", True)
        self._write(Phase.READY)

    # Waiting

    async def _until_needed(self) -> None:
        """Wait until the file has changed or the process has died."""
        process = self._current
        changing = asyncio.create_task(self._changed.wait())
        if process is None:
            await changing
            return
        try:
            await asyncio.wait([changing, process.ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            changing.cancel()
        if process.ended.done():
            self._current = None
            self._count_death(process.ended.result(), "and is started again")
            if len(self._deaths) < _DEATHS:
                await self._pause(_BACKOFF_SECONDS[len(self._deaths) - 1])
            else:
                await self._until_better()

    async def _until_better(self) -> None:
        """There is no process and a new one would be of no use: refuse calls until the file has
        changed, or for a while after it kept dying."""
        dying = len(self._deaths) == _DEATHS
        if self._deaths and not dying:
            await self._pause(_BACKOFF_SECONDS[len(self._deaths) - 1])
            return
        self._write(Phase.FAILED)
        names, error = ", ".join(self.names), self._error or "it cannot be served"
        wait = int(_COOL_DOWN_SECONDS) if dying else 5
        async with answer_unavailable(self._listener, f"{names} cannot answer: {error}", wait):
            await self._pause(_COOL_DOWN_SECONDS if dying else None)
        self._deaths.clear()
        self._write(Phase.STARTING)

    async def _pause(self, seconds: float | None) -> None:
        """Wait so long, or until the file has changed."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return
        self._deaths.clear()

    async def _look(self) -> None:
        while self._watch is not None:
            await self._watch.changed()
            self._changed.set()

    # What went wrong

    def _fail(self, error: str) -> None:
        """The file as it is now cannot be used; what serves goes on to serve."""
        self._error, self.coming = error, []
        self._deaths.clear()
        self._tell(error, True)
        self._write(Phase.READY if self._current is not None else Phase.FAILED)

    def _count_death(self, code: int, when: str) -> None:
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        now = time.monotonic()
        while self._deaths and now - self._deaths[0] > _WITHIN_SECONDS:
            self._deaths.popleft()
        self._deaths.append(now)
        self.coming = []
        self._error = f"the process of {self.file} died ({cause})"
        if len(self._deaths) == _DEATHS:
            self._error += " and keeps dying, so it was given up for a while"
        self._tell(f"{self._error}, {when}", True)
        self._write(Phase.STARTING)

    # The end

    def _free_slot(self) -> int:
        """A row of counts that no process uses."""
        used = {one.slot for one in self._leaving}
        if self._current is not None:
            used.add(self._current.slot)
        free = [slot for slot in range(SLOTS) if slot not in used]
        return free[0] if free else SLOTS - 1

    async def _stop(self) -> None:
        processes = [*self._leaving, *([self._current] if self._current else [])]
        for process in processes:
            process.say("stop")
            process.terminate()
        if processes:
            await asyncio.wait([one.ended for one in processes], timeout=_STOP_SECONDS)
        for process in processes:
            process.kill()
        self._write(Phase.STOPPED)

    def _write(self, state: Phase) -> None:
        """Show how it stands."""
        pid = self._current.pid if self._current is not None else None
        port = 0 if state is Phase.STOPPED else self._port
        for manifest in self.manifests:
            known = replace(
                manifest,
                file=str(self.file),
                state=state,
                port=port,
                pid=pid,
                error=self._error,
            )
            write_app(self._home, known)
