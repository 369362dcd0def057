"""Which revision of a deployed application answers, and what share another one is given.

`deployed.json` in the home names them. Each revision has a folder of its own, `revisions/<id>`,
where its process is written down as the home's own applications are.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

import orjson

from noria.apps.serve.manifest import stop_apps

__all__ = [
    "Routed",
    "falls_to_canary",
    "read_routes",
    "revision_home",
    "route_app",
    "stop_revisions",
    "unit_of",
    "unroute_app",
]

_NAME = "deployed.json"
_NONE: Mapping[str, Routed] = MappingProxyType({})
_POINTS = 1 << 64


@dataclass(frozen=True, slots=True)
class Routed:
    """What answers for an application."""

    revision: str
    file: str
    canary: str | None = None
    canary_file: str | None = None
    share: float = 0.0
    """The chance with which a conversation falls to the canary."""

    def files(self) -> dict[str, Path]:
        """The file of each of its revisions."""
        found = {self.revision: Path(self.file)}
        if self.canary is not None and self.canary_file is not None:
            found[self.canary] = Path(self.canary_file)
        return found


def revision_home(home: Path, revision: str) -> Path:
    """Where a revision's process is written down."""
    return home / "revisions" / revision


def stop_revisions(home: Path) -> None:
    """Note that no revision is served yet: a server that was killed could not."""
    for folder in (home / "revisions").glob("*/"):
        stop_apps(folder, set())


_known: dict[Path, tuple[tuple[int, int], Mapping[str, Routed]]] = {}


def read_routes(home: Path) -> Mapping[str, Routed]:
    """Every deployed application, by name. Costs one `stat` where nothing has changed."""
    path = home / _NAME
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        return _NONE
    # Each change is another file under the name, so the two tell it whatever the clock's tick.
    mark = (stat.st_mtime_ns, stat.st_ino)
    known = _known.get(path)
    if known is None or known[0] != mark:
        known = _known[path] = (mark, MappingProxyType(_read(path)))
    return known[1]


def route_app(home: Path, app: str, routed: Routed) -> None:
    """Let a revision answer for an application from now on."""
    with _changing(home) as routes:
        routes[app] = routed


def unroute_app(home: Path, app: str) -> None:
    """Let no revision answer for an application any more."""
    with _changing(home) as routes:
        routes.pop(app, None)


def unit_of(key: str, trace: str, conversation: str | None, body: bytes) -> str:
    """What keeps to one revision: the conversation by its name, else the chat by how it began,
    else the run alone.

    Args:
        key: the id of the key that calls.
        trace: the run's trace.
        conversation: its name, where the caller gave one.
        body: what was sent.
    """
    begun = conversation
    if begun is None:
        try:
            messages = orjson.loads(body)["messages"]
            first = next(n for n, one in enumerate(messages) if one["role"] == "user")
            # A first question alone is common to many, but then they are of one key.
            begun = orjson.dumps(messages[: first + 1]).decode()
        except (ValueError, KeyError, TypeError, StopIteration):
            begun = trace
    return hashlib.sha256(f"{key}\n{begun}".encode()).hexdigest()[:16]


def falls_to_canary(unit: str, canary: str, share: float) -> bool:
    """Whether a unit is among the share of a canary: always the same for the two, and drawn anew
    for another canary."""
    drawn = hashlib.sha256(f"{canary}\n{unit}".encode()).digest()[:8]
    return int.from_bytes(drawn, "big") < share * _POINTS


def _read(path: Path) -> dict[str, Routed]:
    try:
        return {app: Routed(**one) for app, one in orjson.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}


@contextmanager
def _changing(home: Path) -> Iterator[dict[str, Routed]]:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / _NAME
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        routes = _read(path)
        yield routes
        fresh = path.with_suffix(f".{os.getpid()}.new")
        fresh.write_bytes(orjson.dumps({app: asdict(one) for app, one in routes.items()}))
        fresh.replace(path)
