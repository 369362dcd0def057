"""One process of one file of applications, as its host sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noria.apps.host.channel import Channel

__all__ = ["AppProcess"]


class AppProcess:
    """A process that was started. It ends by itself when its host is gone."""

    def __init__(self, process: asyncio.subprocess.Process, channel: Channel, slot: int) -> None:
        self.pid = process.pid
        self.slot = slot
        """Which of the file's rows of counts it has."""
        self.ended: asyncio.Task[int] = asyncio.create_task(process.wait())
        """Its exit code, once it has ended."""
        self.ended.add_done_callback(lambda _: channel.close())
        self.gives_way = asyncio.Event()
        """Set when it accepts no more."""
        self._channel = channel

    @classmethod
    async def begin(
        cls,
        file: Path,
        listener: socket.socket,
        environ: Mapping[str, str],
        *,
        slot: int,
        row: int,
        rows: int,
    ) -> AppProcess:
        """Start the process of a file.

        Args:
            file: the file.
            listener: the socket that it is to serve on.
            environ: its environment.
            slot: which of the file's rows of counts it has.
            row: that row among all of the home.
            rows: how many there are.
        """
        mine, others = socket.socketpair()
        with others:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "noria.apps.host.runner", str(file),
                "--listener", str(listener.fileno()), "--channel", str(others.fileno()),
                "--row", str(row), "--rows", str(rows),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[listener.fileno(), others.fileno()],
                env=environ,
                start_new_session=True,  # an interrupt at the terminal is the supervisor's
            )  # fmt: skip
        return cls(process, await Channel.over(mine), slot)

    async def hear(self) -> dict[str, Any] | None:
        """What it says next; None when it says nothing more."""
        return await self._channel.hear()

    def say(self, word: str) -> None:
        """Tell it to `serve`, `drain` or `stop`."""
        self._channel.say(**{word: True})

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it, and what it has started."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if not self.ended.done():
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                return
