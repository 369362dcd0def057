"""Which applications there are: one file for each in the home, `apps/<name>.json`.

The doors and the pages know an application from there alone; its code runs in processes of its
own. A file is replaced as a whole, so that nobody reads half of it.
"""

from __future__ import annotations

import enum
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

__all__ = [
    "Manifest",
    "Phase",
    "app_secret",
    "forget_app",
    "read_apps",
    "stop_apps",
    "write_app",
]

_SETTLED_NS = 50_000_000
"""A folder that was changed less than this before it was read may change again unseen: the clock
of a file system ticks slowly."""


class Phase(enum.StrEnum):
    """Where an application stands."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    """Its file cannot be used, or its process keeps dying; `error` says why."""
    STOPPED = "stopped"
    """No server serves it now."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of an application outside of its own process."""

    name: str
    file: str
    state: str = Phase.STARTING
    port: int = 0
    """Where its process listens, on loopback."""
    pid: int | None = None
    error: str | None = None
    """Why it failed; of a ready one, why the file as it is now could not be taken over."""
    line: int | None = None
    """The line of the file where the application is made."""
    title: str = ""
    description: str = ""
    model: str | None = None
    """The model that it asks unless it names another one."""
    budget: str | None = None
    functions: list[dict[str, Any]] = field(default_factory=list)
    """Each with name, kind (`chat` or `task`), doc, parameters and returns (JSON schemas),
    streams, and schedule."""
    checks: list[dict[str, Any]] = field(default_factory=list)
    """Each with name, target, sample, at_least, and severity."""
    indexes: list[dict[str, Any]] = field(default_factory=list)
    """Each with name, state (`building`, `ready`, `failed`), error, and refresh (a cron line)."""
    record_content: bool = True
    """Whether what goes in and out is kept."""
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What each variant sets, by its name."""

    @property
    def chat(self) -> dict[str, Any] | None:
        """The function that answers under the application's name as a model."""
        return next((one for one in self.functions if one["kind"] == "chat"), None)

    def function(self, name: str) -> dict[str, Any] | None:
        """The function of this name."""
        return next((one for one in self.functions if one["name"] == name), None)


def _folder(home: Path) -> Path:
    return home / "apps"


def write_app(home: Path, manifest: Manifest) -> None:
    """Replace what is known of an application."""
    path = _folder(home) / f"{manifest.name}.json"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.new")
    fresh.write_bytes(orjson.dumps(asdict(manifest)))
    fresh.replace(path)


def forget_app(home: Path, name: str) -> None:
    """Take an application out of the directory."""
    (_folder(home) / f"{name}.json").unlink(missing_ok=True)


_NONE: Mapping[str, Manifest] = MappingProxyType({})
_known: dict[Path, tuple[int, bool, Mapping[str, Manifest]]] = {}


def read_apps(home: Path) -> Mapping[str, Manifest]:
    """Every application that is or was served on a home, by name. Costs one `stat` where nothing
    has changed."""
    folder = _folder(home)
    try:
        changed_ns = os.stat(folder).st_mtime_ns
    except FileNotFoundError:
        return _NONE
    known = _known.get(home)
    if known is not None and known[1] and known[0] == changed_ns:
        return known[2]
    settled = changed_ns < time.time_ns() - _SETTLED_NS
    found = {}
    for path in sorted(folder.glob("*.json")):
        manifest = _read(path)
        if manifest is not None:
            found[manifest.name] = manifest
    apps: Mapping[str, Manifest] = MappingProxyType(found)
    _known[home] = (changed_ns, settled, apps)
    return apps


def stop_apps(home: Path, serving: set[str]) -> None:
    """Note that applications whose files are not among these are not served any more."""
    for manifest in read_apps(home).values():
        if manifest.file not in serving and manifest.state != Phase.STOPPED:
            write_app(home, replace(manifest, state=Phase.STOPPED, pid=None, port=0))


def app_secret(home: Path) -> str:
    """The secret by which the doors of a home call its applications, made at the first call."""
    path = _folder(home) / "secret"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    except FileExistsError:
        pass
    return path.read_text()


def _read(path: Path) -> Manifest | None:
    try:
        table = orjson.loads(path.read_bytes())
        known = {one.name for one in fields(Manifest)}
        return Manifest(**{name: value for name, value in table.items() if name in known})
    except (OSError, ValueError, TypeError):
        return None
