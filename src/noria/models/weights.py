"""The weights of the local models: fetched once, checked, kept for every project of this user.

They lie under `XDG_CACHE_HOME/noria/weights`. What a source delivers is pinned by SHA-256; what is
made of it is stamped with its own SHA-256, size and time, so that a damaged file is noticed at
the next start. Work happens in a folder beside the result, which is emptied first, and ends with
one rename: an interrupted pull leaves nothing half-done. A file lock lets one process pull while
the others wait for its result.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from noria.errors import WeightsError
from noria.models.local import LOCAL, LocalModel
from noria.models.sources import Progress, fetch, ignore, sha256_of

__all__ = ["Weights", "write_stamp"]

_RECIPES = "1"
"""Raised when a recipe changes, so that older files are not taken for its result."""


class Weights:
    """The weights that this user has."""

    def __init__(
        self, folder: Path | None = None, models: Mapping[str, LocalModel] = LOCAL
    ) -> None:
        """Keep the files of `models` in `folder`, by default `noria/weights` under
        `XDG_CACHE_HOME` or `~/.cache`. A model with a file of its own stays where it is."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.folder = folder or cache / "noria" / "weights"
        self._models = models

    def path(self, name: str) -> Path:
        """Where the file of a local model lies, or will lie."""
        model = self._models[name]
        if model.file is not None:
            return model.file
        parts = [_RECIPES, model.recipe, *(source.sha256 for source in model.sources)]
        digest = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]
        return self.folder / f"{name}-{digest}.gguf"

    def present(self, name: str) -> bool:
        """Whether the file is there. Says nothing about its state."""
        return self.path(name).is_file() and self._stamp(name).is_file()

    def made_ns(self, name: str) -> int:
        """When the file was last made (nanoseconds since the epoch); 0 where it is absent."""
        try:
            return self._stamp(name).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def locate(self, name: str) -> Path:
        """The file, ready to be loaded.

        Size and time are compared with the stamp; only where they differ is the file read whole.

        Raises:
            WeightsError: it is absent or damaged.
        """
        if not self.present(name):
            raise WeightsError(f"The weights of local:{name} are not here yet.", _remedy(name))
        path = self.path(name)
        stamp, found = self._read_stamp(name), path.stat()
        if (found.st_size, found.st_mtime_ns) != (stamp.get("size"), stamp.get("mtime_ns")):
            self.verify(name)
            self._write_stamp(name, str(stamp["sha256"]))
        return path

    def verify(self, name: str) -> None:
        """Read the whole file and compare it with its SHA-256.

        Raises:
            WeightsError: it is damaged.
        """
        path = self.path(name)
        if sha256_of(path) != self._read_stamp(name).get("sha256"):
            raise WeightsError(f"The weights of local:{name} are damaged: {path}.", _remedy(name))

    def pull(
        self,
        name: str,
        progress: Progress = ignore,
        stop: threading.Event | None = None,
    ) -> Path:
        """Have the file: check the one that is there, or fetch and make it.

        Args:
            name: the model's name without `local:`.
            progress: told what is being done, how much is done and of how much.
            stop: when set, the pull is given up.

        Raises:
            WeightsError: it cannot be had, or `stop` was set.
        """
        stop = stop or threading.Event()
        try:
            with self._lock(name, stop):
                return self._checked(name) or self._made(name, progress, stop)
        except KeyError:
            raise WeightsError(
                f"There is no local model {name!r}.", "`noria model ls` lists them."
            ) from None
        except OSError as problem:
            raise WeightsError(
                f"The weights of local:{name} cannot be written to {self.folder}: "
                f"{problem.strerror or problem}.",
                f"Make room or set XDG_CACHE_HOME to another folder, then: {_remedy(name)}",
            ) from None
        except WeightsError as problem:
            problem.remedy = problem.remedy or _remedy(name)
            raise

    def _checked(self, name: str) -> Path | None:
        """The file that is there, read whole; None where it has to be made (again)."""
        if not self.present(name):
            return None
        try:
            self.verify(name)
            return self.locate(name)
        except WeightsError:
            return None

    def _made(self, name: str, progress: Progress, stop: threading.Event) -> Path:
        if self._models[name].file is not None:
            raise WeightsError(
                f"The weights of local:{name} are missing or damaged: {self.path(name)}.",
                f"Add it again: noria model rm {name}, then noria model add {name} SOURCE",
            )
        work = self.folder / f"{name}.part"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            made = self._make(self._models[name], work, progress, stop)
            digest = sha256_of(made)
            self._stamp(name).unlink(missing_ok=True)
            made.replace(self.path(name))
            self._write_stamp(name, digest)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return self.path(name)

    def _make(
        self, model: LocalModel, work: Path, progress: Progress, stop: threading.Event
    ) -> Path:
        files = fetch(model.sources, work, progress, stop)
        target = work / "made.gguf"
        from noria.models import convert  # numpy, only for as long as it is needed

        def converted(done: int, total: int) -> None:
            if stop.is_set():
                raise WeightsError(f"The pull of local:{model.name} was stopped.")
            progress("convert", done, total)

        if model.recipe == "copy":
            from noria.models.gguf import read_about

            read_about(files[0])  # refuses what no engine could load
            files[0].replace(target)
        elif model.recipe == "bert-q8_0":
            convert.bert_to_gguf(files[0], files[1], target, converted)
        else:
            convert.requantise(files[0], target, model.recipe, converted)
        return target

    @contextmanager
    def _lock(self, name: str, stop: threading.Event) -> Iterator[None]:
        """Hold the model's lock. The kernel drops it with its holder, so it is never stale."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{name}.lock").open("a") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if stop.wait(0.2):
                        raise WeightsError(f"The pull of local:{name} was stopped.") from None
            yield

    def _stamp(self, name: str) -> Path:
        return self.path(name).with_suffix(".json")

    def _read_stamp(self, name: str) -> dict[str, object]:
        try:
            stamp = json.loads(self._stamp(name).read_bytes())
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def _write_stamp(self, name: str, digest: str) -> None:
        write_stamp(self.path(name), digest)


def write_stamp(path: Path, digest: str) -> None:
    """Write down, beside a file, the SHA-256 that it has now, its size and time."""
    found = path.stat()
    stamp = {"sha256": digest, "size": found.st_size, "mtime_ns": found.st_mtime_ns}
    fresh = path.with_suffix(f".{os.getpid()}.tmp")
    fresh.write_text(json.dumps(stamp))
    fresh.replace(path.with_suffix(".json"))


def _remedy(name: str) -> str:
    return f"noria model pull local:{name}"
