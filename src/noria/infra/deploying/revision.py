"""A revision: everything that decides what an application answers, hashed.

Code, pins, configuration, index versions and model versions each have a digest for every piece, so
that two revisions can be compared piece by piece.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import select

from noria.config import Config
from noria.errors import AppError, NoriaError
from noria.store import Database

__all__ = ["PARTS", "Change", "Revision", "changes", "code_files", "revision_of"]

PARTS = ("code", "pins", "configuration", "indexes", "models")
_MOST_BYTES = 64 * 1024 * 1024
_LEFT_OUT = {"__pycache__", "node_modules", "venv", "noria.toml"}
_OTHERS = ("pyvenv.cfg", "evaluation.json")
"""What tells a folder that is an environment, or an evaluation, which is no part of its app."""
_SECRET = re.compile(r"\.(pem|key|p12|pfx|jks)$|^(id_rsa|id_ed25519|admin-key)", re.IGNORECASE)
_SHIPPED = re.compile(r"[-_.]+")
# What differs from place to place and changes no answer, and what the wires of a target set.
_OF_THE_PLACE = ("home", "source", "server", "store", "journal", "targets", "limits", "telemetry")


@dataclass(frozen=True, slots=True)
class Revision:
    """What is deployed, and what it consists of."""

    digest: str
    """SHA-256 of the parts."""
    file: str
    """The file of the applications, by its name in the folder."""
    apps: tuple[str, ...]
    parts: Mapping[str, Mapping[str, str]]
    """For each of `PARTS`, its pieces and what tells their versions."""

    @property
    def id(self) -> str:
        """What it is called: the beginning of the digest."""
        return self.digest[:12]

    def as_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "id": self.id,
            "digest": self.digest,
            "file": self.file,
            "apps": list(self.apps),
            "parts": {name: dict(pieces) for name, pieces in self.parts.items()},
        }


@dataclass(frozen=True, slots=True)
class Change:
    """A piece in which two revisions differ; None stands for its absence."""

    part: str
    piece: str
    before: str | None
    after: str | None


def changes(before: Revision, after: Revision) -> list[Change]:
    """Tell in what two revisions differ, part by part."""
    found = []
    for part in PARTS:
        old, new = before.parts.get(part, {}), after.parts.get(part, {})
        found += [
            Change(part, piece, old.get(piece), new.get(piece))
            for piece in sorted({*old, *new})
            if old.get(piece) != new.get(piece)
        ]
    return found


def revision_of(file: Path, config: Config, db: Database) -> Revision:
    """Compute the revision of an application's file as it stands. The file is loaded.

    Args:
        file: the file of the applications.
        config: the configuration that it would run under.
        db: the home's database, which knows the indexes.

    Raises:
        AppError: the file cannot be loaded.
        NoriaError: its folder is larger than 64 MiB.
    """
    from noria.apps import load_app

    file = file.absolute()
    apps = sorted(load_app(file), key=lambda app: app.name)
    names = tuple(app.name for app in apps)
    files = {str(path.relative_to(file.parent)): path for path in code_files(file, config.home)}
    asked = {app.model.name or "" for app in apps}
    asked |= {one.model for app in apps for one in app.variants.values() if one.model}
    parts = {
        "code": {name: _sha(path.read_bytes()) for name, path in sorted(files.items())},
        "pins": _pins(file.parent, files),
        "configuration": _configuration(config),
        "indexes": _indexes(db, names),
        "models": _models(config, names, asked),
    }
    told = json.dumps({"file": file.name, "parts": parts}, sort_keys=True)
    return Revision(_sha(told.encode()), file.name, names, parts)


def code_files(file: Path, home: Path) -> Iterator[Path]:
    """Give the files that belong to an application: those of its folder, without what is hidden,
    environments, caches, state, and files whose names are those of private keys.

    Raises:
        AppError: there is no such file.
        NoriaError: together they have over 64 MiB.
    """
    if not file.is_file():
        raise AppError(f"There is no file {file}.", "Make an application with: noria init")
    total = 0
    for path in sorted(_walk(file.parent, home.absolute())):
        total += path.stat().st_size
        if total > _MOST_BYTES:
            raise NoriaError(
                f"The folder {file.parent} has over 64 MiB of files for {file.name}.",
                "Put the application into a folder of its own, and its data into an index.",
            )
        yield path


def _walk(folder: Path, home: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        name = path.name
        if name.startswith(".") or name in _LEFT_OUT or _SECRET.search(name) or path == home:
            continue
        if path.is_symlink():
            continue
        if path.is_dir():
            if not any((path / mark).exists() for mark in _OTHERS):
                yield from _walk(path, home)
        elif path.is_file():
            yield path


def _pins(folder: Path, files: Mapping[str, Path]) -> dict[str, str]:
    """Python, noria, and what the application needs: as a requirements file of its folder pins
    it, else the installed versions of what its modules import."""
    pins = {"python": ".".join(map(str, sys.version_info[:2])), "noria": metadata.version("noria")}
    listed = folder / "requirements.txt"
    if listed.is_file():
        lines = [line.split("#")[0].strip() for line in listed.read_text("utf-8").splitlines()]
        for line in filter(None, lines):
            name = re.split(r"[\s\[=<>!~;@]", line, maxsplit=1)[0]
            pins[normal(name)] = line.removeprefix(name).strip() or "any"
        return dict(sorted(pins.items()))
    known = metadata.packages_distributions()
    own = {Path(name).stem for name in files} | {Path(name).parts[0] for name in files}
    for name, path in files.items():
        if name.endswith(".py"):
            for module in _imported(path):
                for distribution in known.get(module, ()) if module not in own else ():
                    pins[normal(distribution)] = f"=={metadata.version(distribution)}"
    pins["noria"] = metadata.version("noria")
    return dict(sorted(pins.items()))


def normal(name: str) -> str:
    """Write a distribution's name as PEP 503 has it."""
    return _SHIPPED.sub("-", name).lower()


def _imported(path: Path) -> set[str]:
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return set()
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names)


def _configuration(config: Config) -> dict[str, str]:
    """A digest for each section: values do not show, so that no secret does."""
    table = config.model_dump(mode="json", exclude=set(_OF_THE_PLACE), exclude_defaults=True)
    return {
        name: _sha(json.dumps(value, sort_keys=True, default=str).encode())[:16]
        for name, value in sorted(table.items())
    }


def _indexes(db: Database, apps: tuple[str, ...]) -> dict[str, str]:
    from noria.store.tables.retrieval import indexes

    columns = (indexes.c.name, indexes.c.model, indexes.c.version)
    with db.read() as connection:
        rows = connection.execute(select(*columns).where(indexes.c.app.in_(apps))).all()
    return {row.name: f"{row.version} ({row.model})" for row in sorted(rows)}


def _models(config: Config, apps: tuple[str, ...], asked: set[str]) -> dict[str, str]:
    """Each model that the applications ask, with what its name stands for now."""
    from noria.models.own import OwnModels
    from noria.models.promotions import promoted

    cards = {f"local:{card.name}": card for card in OwnModels(config.home).cards()}
    found: dict[str, str] = {}
    wanted = sorted(name for name in asked if name)
    for app in apps:
        if (model := promoted(config.home, app)) is not None:
            found[f"{app} (promoted)"] = model
            wanted.append(model)
    for name in wanted:
        local = config.models_local.get(name.removeprefix("local:"))
        if name in cards:
            found[name] = _sha(orjson.dumps(repr(cards[name])))[:16]
        elif local is not None:
            found[name] = local.sha256
        elif name in config.models:
            found[name] = ", ".join(config.models[name].targets)
        else:
            found[name] = name
    return dict(sorted(found.items()))


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
