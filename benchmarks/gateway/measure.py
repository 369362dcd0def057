"""CPU time and memory of a server's processes, from /proc."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

__all__ = ["Processes", "cpu_seconds"]


def cpu_seconds(pid: int) -> float:
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
class Processes:
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
