"""A worker process, as its executor sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from noria.infra.executor import WorkerDied
from noria.infra.local.frames import receive, send
from noria.infra.work import Outcome, Work

__all__ = ["WorkerProcess"]


class WorkerProcess:
    """A process that does one piece of work at a time.

    Args:
        gpus: the numbers of the graphics processors that it sees.
        folder: the application's folder that it loads; two versions are never in one process.
        home: the state folder that it opens, if any.
    """

    def __init__(self, gpus: tuple[int, ...], folder: str | None, home: str | None) -> None:
        self.kind = (gpus, folder, home)
        environ = dict(os.environ)
        if gpus:
            environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
        self._end, others = socket.socketpair()
        with others:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "noria.infra.local.worker",
                    "--channel", str(others.fileno()),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=[others.fileno()],
                env=environ,
                start_new_session=True,  # an interrupt at the terminal is its executor's
            )  # fmt: skip

    @property
    def alive(self) -> bool:
        """Whether it can be given work."""
        return self._process.poll() is None

    def do(self, work: Work, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outcome:
        """Do one piece of work.

        Raises:
            WorkerDied: the process ended meanwhile.
        """
        try:
            send(self._end, (work, args, kwargs, False))
            outcome: Outcome = receive(self._end)
        except (EOFError, OSError):
            raise self._died(work) from None
        return outcome

    def stream(self, work: Work, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
        """Do one that yields; the outcome comes last. Raises as `do`."""
        try:
            send(self._end, (work, args, kwargs, True))
            while True:
                piece = receive(self._end)
                yield piece
                if isinstance(piece, Outcome):
                    return
        except (EOFError, OSError):
            raise self._died(work) from None

    def kill(self) -> None:
        """End it, with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # Whoever waits for its answer hears the end of the stream first.
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def _died(self, work: Work) -> WorkerDied:
        code = self._process.wait()
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        return WorkerDied(
            f"The process that did {work.title} died ({cause}).",
            "Look into its output; mark the step idempotent=True to have it done again.",
        )
