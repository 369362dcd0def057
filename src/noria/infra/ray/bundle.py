"""An application's folder as it travels to a cluster: its code and its pins, by their content.

Two versions of one application are two bundles, and run side by side in workers of their own.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from noria.errors import NoriaError

__all__ = ["Bundle", "bundle_of"]

_LEFT_OUT = frozenset(
    (".git", ".noria", ".venv", "venv", "node_modules", "__pycache__", "build", "dist")
)
_MOST_BYTES = 100 * 1024 * 1024


class Bundle:
    """A copy of a folder, under the hash of what is in it."""

    def __init__(self, folder: Path) -> None:
        """Raises NoriaError where the folder is too large to travel."""
        files = sorted(_files(folder))
        sizes = {file: file.stat().st_size for file in files}
        if sum(sizes.values()) > _MOST_BYTES:
            largest = max(files, key=lambda file: sizes[file])
            raise NoriaError(
                f"{folder} has over 100 MiB to send to the cluster; the largest file is "
                f"{largest.relative_to(folder)} ({sizes[largest] / 1e6:.0f} MB).",
                "Keep data outside of the application's folder.",
            )
        content = hashlib.sha256()
        for file in files:
            name = str(file.relative_to(folder)).encode()
            content.update(b"%d %b %d " % (len(name), name, sizes[file]) + file.read_bytes())
        self.digest = content.hexdigest()
        """Of every name and every byte."""
        pins = folder / "requirements.txt"
        self.pins = pins if pins.is_file() else None
        self._folder = folder
        self._files = files

    def runtime_env(self, *, install: bool) -> dict[str, Any]:
        """What Ray is told: where the code is, and the pins where they are to be installed."""
        copy = Path(tempfile.gettempdir()) / f"noria-bundle-{self.digest[:32]}"
        if not copy.exists():
            fresh = Path(tempfile.mkdtemp(prefix="noria-bundle-"))
            for file in self._files:
                place = fresh / file.relative_to(self._folder)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, place)
            try:
                fresh.rename(copy)
            except OSError:  # another process was faster
                shutil.rmtree(fresh)
        # Ray uploads a folder by itself for a whole job alone, and two versions are in one job.
        from ray._private.runtime_env.working_dir import upload_working_dir_if_needed

        told: dict[str, Any] = upload_working_dir_if_needed(
            {"working_dir": str(copy)}, include_gitignore=False, scratch_dir=tempfile.gettempdir()
        )
        if install and self.pins is not None:
            told["pip"] = str(copy / "requirements.txt")
        return told


def bundle_of(folder: str) -> Bundle:
    """The bundle of a folder as it is now."""
    return Bundle(Path(folder))


def _files(folder: Path) -> Iterator[Path]:
    """What travels: no hidden files, among which are those with secrets, and nothing made."""
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name in _LEFT_OUT or path.is_symlink():
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.is_file() and path.suffix != ".pyc":
            yield path
