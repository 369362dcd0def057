"""What `noria doctor` finds of the machine, and how any finding looks."""

from __future__ import annotations

import contextlib
import enum
import os
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Finding", "Health", "examine_machine", "size"]

_SAFE_SQLITE = (3, 51, 3)
_MEMORY_BYTES = 1_500_000_000


class Health(enum.StrEnum):
    """How a finding is meant: only a problem makes `doctor` fail."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    health: Health
    detail: str
    remedy: str | None = None


def examine_machine() -> Iterator[Finding]:
    """Python, SQLite, processors, memory and open files."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", Health.OK, f"{version} at {sys.executable}")
    if sqlite3.sqlite_version_info < _SAFE_SQLITE:
        yield Finding(
            "sqlite",
            Health.OK,
            f"{sqlite3.sqlite_version}: older than 3.51.3, so noria lets one process write at a "
            "time (never open noria.db for writing with another tool while it runs)",
        )
    else:
        yield Finding("sqlite", Health.OK, sqlite3.sqlite_version)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("cores", Health.OK, f"{cores}")
    memory = _memory()
    if memory is not None and memory < _MEMORY_BYTES:
        yield Finding(
            "memory",
            Health.NOTE,
            f"{size(memory)} are free",
            "The server takes about 0.2 GB and each embedded model 0.5 GB: close something, or "
            "use hosted models only.",
        )
    elif memory is not None:
        yield Finding("memory", Health.OK, f"{size(memory)} are free")
    yield from _descriptors()


def _descriptors() -> Iterator[Finding]:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = soft != resource.RLIM_INFINITY and soft < 4096
    yield Finding(
        "open files",
        Health.NOTE if low else Health.OK,
        f"{soft:,} at once (at most {hard:,})",
        "Each connection takes one or two; raise it before heavy use: ulimit -n 65536"
        if low
        else None,
    )


def _memory() -> int | None:
    """Bytes that can still be had, under the container's limit too; None where nobody says."""
    free: list[int] = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        free.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text())
        free.append(most - int((group / "memory.current").read_text()))
    return min(free, default=None)


def size(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:.1f} GB"
