"""CPU time and memory of a server's processes under load, from /proc."""

from __future__ import annotations

import time
from dataclasses import dataclass

import load
import psutil
from load import Load
from peers import Running

__all__ = ["Server"]


def _cpu_seconds(pid: int) -> float:
    """What all threads of a process have used, to the nanosecond where the kernel counts so."""
    total = 0
    try:
        for thread in psutil.Process(pid).threads():
            with open(f"/proc/{pid}/task/{thread.id}/schedstat") as counters:
                total += int(counters.read().split()[0])
    except psutil.NoSuchProcess:
        return 0.0
    except OSError:
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system
    return total / 1e9


@dataclass
class _Processes:
    """A server's process tree, parted into those that hold connections of clients (the door) and
    the others (for noria: the intake, the host of engines, the supervisor)."""

    root: int
    port: int

    def door(self) -> list[int]:
        """The processes that accept connections on the port. To be asked while one is open."""
        return [pid for pid in self.all() if self._serves(pid)]

    def all(self) -> list[int]:
        """The process and everything below it."""
        root = psutil.Process(self.root)
        return [root.pid, *(child.pid for child in root.children(recursive=True))]

    def resident_mb(self, pids: list[int]) -> float:
        """Resident memory; pages that forked processes share are counted once (PSS)."""
        return sum(psutil.Process(pid).memory_full_info().pss for pid in pids) / 1e6

    def _serves(self, pid: int) -> bool:
        connections = psutil.Process(pid).net_connections("tcp")
        return any(
            c.laddr.port == self.port and c.status == psutil.CONN_ESTABLISHED for c in connections
        )


class Server:
    """A running server: asked, and what that costs its processes."""

    def __init__(self, running: Running) -> None:
        self._target = running.target
        self._processes = _Processes(running.pid, running.target.port)
        self._door: list[int] = []
        self.sent = self.failures = 0
        self.first_failure = ""

    def warm_up(self, requests: int) -> None:
        """Ask until everything is loaded, and find out which processes are the door."""
        self.load(requests, 16)
        holder = load.hold(self._target)  # Which serve is seen while a connection is open.
        try:
            self._door = self._processes.door()
        finally:
            holder.close()

    def load(
        self, requests: int, connections: int, *, stream: bool = False, slowly: bool = False
    ) -> Load:
        """Ask so often over so many connections.

        Raises:
            RuntimeError: nothing was answered.
        """
        wanted = max(requests, connections)
        ran = load.run(self._target, wanted, connections, stream=stream, slowly=slowly)
        self.sent += ran.requests
        self.failures += ran.failures
        self.first_failure = self.first_failure or ran.first_failure
        if not ran.requests:
            raise RuntimeError(f"no request was answered: {ran.first_failure}")
        return ran

    def costed(
        self, requests: int, *, stream: bool = False, slowly: bool = False
    ) -> tuple[Load, float, float]:
        """Ask over 16 connections; with it the door's and the others' microseconds each."""
        parts = (self._door, self._rest())
        before = [sum(map(_cpu_seconds, pids)) for pids in parts]
        ran = self.load(requests, 16, stream=stream, slowly=slowly)
        _settle(parts[1])
        after = [sum(map(_cpu_seconds, pids)) for pids in parts]
        door, others = (1e6 * (b - a) / ran.requests for a, b in zip(before, after, strict=True))
        return ran, door, others

    def resident_mb(self) -> tuple[float, float]:
        """The door's memory and the others'."""
        return self._processes.resident_mb(self._door), self._processes.resident_mb(self._rest())

    def _rest(self) -> list[int]:
        return [pid for pid in self._processes.all() if pid not in self._door]


def _settle(pids: list[int]) -> None:
    """Wait until work that goes on behind the answers (noria's intake) is done."""
    until = time.monotonic() + 60
    used = sum(map(_cpu_seconds, pids))
    while time.monotonic() < until:
        time.sleep(1.5)
        now = sum(map(_cpu_seconds, pids))
        if now - used < 0.03:
            return
        used = now
