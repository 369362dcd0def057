"""Processes that are kept alive: each is forked, watched, and started again when it dies.

The supervisor itself has one thread and does nothing else, so that it can always fork.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Supervisor"]

log = logging.getLogger("noria.supervisor")

_BACKOFF_SECONDS = (0.0, 0.2, 1.0, 3.0, 10.0)
_STABLE_SECONDS = 30.0
_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 15.0
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP}


@dataclass(slots=True)
class _Child:
    name: str
    run: Callable[[], None]
    last: bool
    when: Callable[[], bool] | None = None
    pid: int = 0
    started: float = 0.0
    deaths: int = 0
    due: float = 0.0


class Supervisor:
    """Keeps processes alive until it is told to stop."""

    def __init__(self) -> None:
        self._children: list[_Child] = []

    def add(
        self,
        name: str,
        run: Callable[[], None],
        *,
        last: bool = False,
        when: Callable[[], bool] | None = None,
    ) -> None:
        """Start a process that runs `run`; one that is `last` is stopped after all others. With
        `when` it is started once that says so, which is asked every second."""
        child = _Child(name, run, last, when)
        self._children.append(child)
        if self._is_due(child):
            self._start(child)

    def _is_due(self, child: _Child) -> bool:
        if child.when is None:
            return True
        if not child.when():
            child.due = time.monotonic() + _LOOK_SECONDS
            return False
        child.when = None
        return True

    def run(self) -> None:
        """Watch the processes until SIGTERM, SIGINT or SIGHUP, then stop them in order."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            while True:
                due = [child.due for child in self._children if not child.pid]
                wait = max(0.01, min(due) - time.monotonic()) if due else 3600.0
                caught = signal.sigtimedwait(_SIGNALS, wait)
                if caught is not None and caught.si_signo != signal.SIGCHLD:
                    break
                self._reap()
                for child in self._children:
                    waits = not child.pid and time.monotonic() >= child.due
                    if waits and self._is_due(child):
                        self._start(child)
        finally:
            self.stop()

    def stop(self) -> None:
        """Stop everything: first those that take work, then those that finish it."""
        for last in (False, True):
            self._stop([child for child in self._children if child.last is last])

    def _start(self, child: _Child) -> None:
        gc.freeze()  # What is shared with the child stays shared.
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            _become(child)
        child.pid, child.started = pid, time.monotonic()

    def _reap(self) -> None:
        for child in self._children:
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid == 0:
                continue
            now = time.monotonic()
            child.deaths = child.deaths + 1 if now - child.started < _STABLE_SECONDS else 1
            pause = _BACKOFF_SECONDS[min(child.deaths, len(_BACKOFF_SECONDS)) - 1]
            child.pid, child.due = 0, now + pause
            code = os.waitstatus_to_exitcode(status)
            reason = f"signal {-code}" if code < 0 else f"exit code {code}"
            log.warning("%s ended with %s; starting it again", child.name, reason)

    def _stop(self, children: list[_Child]) -> None:
        running = [child for child in children if child.pid]
        for child in running:
            os.kill(child.pid, signal.SIGTERM)
        until = time.monotonic() + _PATIENCE_SECONDS
        while running and time.monotonic() < until:
            running = [child for child in running if os.waitpid(child.pid, os.WNOHANG)[0] == 0]
            if running:
                signal.sigtimedwait({signal.SIGCHLD}, 0.1)
        for child in running:
            log.warning("%s did not stop in time and is killed", child.name)
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
        for child in children:
            child.pid, child.due = 0, float("inf")


def _become(child: _Child) -> None:
    """The forked process: run, and never return into the supervisor's code."""
    code = 0
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _die_with_parent()
        child.run()
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _die_with_parent() -> None:
    """On Linux the kernel ends this process when the supervisor is killed."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    pr_set_pdeathsig = 1
    parent = os.getppid()
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
