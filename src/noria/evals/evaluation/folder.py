"""The folder of an evaluation: what was asked, and every answer and judgement as a line.

Lines are only ever added, each by one write, so that a run that was killed goes on where it was; a
line that was cut by the kill is dropped when the folder is opened again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from noria.errors import ConfigError, NotFound

__all__ = ["Folder"]

_MANIFEST = "evaluation.json"


class Folder:
    """An evaluation on disk."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        """What was asked: questions, contestants, judge, baseline, repeats."""

    @classmethod
    def begin(cls, path: Path, manifest: dict[str, Any]) -> Folder:
        """Make the folder, or go on in one that was begun with the same manifest.

        Raises:
            ConfigError: the folder holds another evaluation, or something else.
        """
        folder = cls.begun(path, manifest)
        if folder is not None:
            for file in path.glob("*.jsonl"):
                _cut_torn_line(file)
            return folder
        known = path / _MANIFEST
        path.mkdir(parents=True, exist_ok=True)
        fresh = path / f"{_MANIFEST}.new"
        fresh.write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
        fresh.replace(known)
        return cls(path, manifest)

    @classmethod
    def begun(cls, path: Path, manifest: dict[str, Any]) -> Folder | None:
        """The folder, if it was begun with the same manifest; None where nothing is there yet.

        Raises:
            ConfigError: the folder holds another evaluation, or something else.
        """
        if not (path / _MANIFEST).exists():
            if path.exists() and any(path.iterdir()):
                raise ConfigError(
                    f"{path} is not empty and holds no evaluation.",
                    "Choose another folder with --out.",
                )
            return None
        folder = cls.open(path)
        differing = [
            name
            for name in {**manifest, **folder.manifest}
            if folder.manifest.get(name) != manifest.get(name)
        ]
        if differing:
            raise ConfigError(
                f"{path} holds an evaluation with other {', '.join(sorted(differing))}.",
                "Choose another folder with --out, or ask for the same again to go on.",
            )
        return folder

    @classmethod
    def open(cls, path: Path) -> Folder:
        """An evaluation that was begun before.

        Raises:
            NotFound: the folder holds none.
            ConfigError: what it holds cannot be read.
        """
        try:
            manifest = orjson.loads((path / _MANIFEST).read_bytes())
        except FileNotFoundError:
            raise NotFound(
                f"{path} holds no evaluation.", "Make one with: noria eval run QUESTIONS --out DIR"
            ) from None
        except (OSError, orjson.JSONDecodeError) as unreadable:
            raise ConfigError(f"{path / _MANIFEST} cannot be read: {unreadable}") from None
        return cls(path, manifest)

    def move(self, path: Path) -> Folder:
        """The same folder at another place, instead of what is there."""
        old = self.path.with_name("replaced")
        if path.exists():
            path.rename(old)
        self.path.rename(path)
        return Folder(path, self.manifest)

    def add(self, kind: str, row: dict[str, Any]) -> None:
        """Add a line to `<kind>.jsonl`."""
        line = orjson.dumps(row) + b"\n"
        fd = os.open(self.path / f"{kind}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)

    def rows(self, kind: str) -> Iterator[dict[str, Any]]:
        """The lines of `<kind>.jsonl`, in the order in which they were added."""
        try:
            with (self.path / f"{kind}.jsonl").open("rb") as file:
                for line in file:
                    if line.endswith(b"\n"):
                        yield orjson.loads(line)
        except FileNotFoundError:
            return

    @staticmethod
    def digest(path: Path) -> str:
        """The SHA-256 of a file, which tells whether it is still the same."""
        return hashlib.sha256(path.read_bytes()).hexdigest()


def _cut_torn_line(file: Path) -> None:
    whole = file.read_bytes()
    end = whole.rfind(b"\n") + 1
    if end < len(whole):
        os.truncate(file, end)
