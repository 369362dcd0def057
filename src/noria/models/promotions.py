"""Which model serves an application in place of the one that its file names.

`promotions.json` in the home holds each application's promotions, the newest last. A roll-back
takes the newest one out of force and keeps it in the list.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from noria.errors import NotFound

__all__ = ["Promotion", "Promotions", "promoted"]


@dataclass(frozen=True, slots=True)
class Promotion:
    """One model that took another one's place."""

    app: str
    model: str
    replaced: str
    at_ns: int
    evidence: dict[str, Any] = field(default_factory=dict)
    """The figures that it was decided on."""
    rolled_back_ns: int | None = None


class Promotions:
    """The promotions of a home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._path = home / "promotions.json"

    def all(self) -> list[Promotion]:
        """Every promotion, the oldest first."""
        try:
            return [Promotion(**one) for one in json.loads(self._path.read_bytes())]
        except FileNotFoundError:
            return []

    def in_force(self, app: str) -> Promotion | None:
        """The promotion that holds for an application now."""
        found = [one for one in self.all() if one.app == app and one.rolled_back_ns is None]
        return found[-1] if found else None

    def promote(self, app: str, model: str, replaced: str, evidence: dict[str, Any]) -> Promotion:
        """Let a model serve an application from now on."""
        made = Promotion(app, model, replaced, time.time_ns(), evidence)
        with self._changing() as known:
            known.append(made)
        return made

    def roll_back(self, app: str) -> Promotion:
        """Take an application's newest promotion back.

        Raises:
            NotFound: none is in force.
        """
        with self._changing() as known:
            for number in reversed(range(len(known))):
                one = known[number]
                if one.app == app and one.rolled_back_ns is None:
                    known[number] = replace(one, rolled_back_ns=time.time_ns())
                    return known[number]
        raise NotFound(
            f"No promotion is in force for {app}.", "`noria tune promotions` lists them."
        )

    @contextmanager
    def _changing(self) -> Iterator[list[Promotion]]:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self.all()
            yield known
            fresh = self._path.with_suffix(f".{os.getpid()}.tmp")
            fresh.write_text(json.dumps([asdict(one) for one in known]))
            fresh.replace(self._path)


_seen: dict[Path, tuple[int, dict[str, str]]] = {}


def promoted(home: Path, app: str) -> str | None:
    """The model that was promoted for an application; read again only when the file changed."""
    path = home / "promotions.json"
    try:
        changed = path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
    known = _seen.get(path)
    if known is None or known[0] != changed:
        models = {one.app: one.model for one in Promotions(home).all() if not one.rolled_back_ns}
        known = _seen[path] = (changed, models)
    return known[1].get(app)
