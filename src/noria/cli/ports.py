"""Who holds a port, as far as the system tells."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["who_listens"]


def who_listens(port: int) -> str:
    """`": process 123 (name) listens there"`, or nothing where that cannot be seen."""
    inodes = _listening_inodes(port)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            for fd in os.scandir(folder / "fd"):
                if os.readlink(fd.path) in inodes:
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    name = command.decode(errors="replace").strip()[:120]
                    return f": process {folder.name} ({name}) listens there"
        except OSError:
            continue
    return ""


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    return inodes
