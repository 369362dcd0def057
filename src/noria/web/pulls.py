"""Pulling weights at the press of a button, and how far it has come.

The work happens in a thread of the process that was asked; how far it has come stands in a small
file of the home, since the next request for the page may reach another worker.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from noria.errors import WeightsError
from noria.models.own import LocalModels
from noria.models.weights import Weights

__all__ = ["Pull", "Pulls"]

_SECONDS = 0.2
"""The least time between two notes of how far a pull has come."""


@dataclass(frozen=True, slots=True)
class Pull:
    """How far a pull has come. `problem` says why it ended without the weights."""

    pid: int
    stage: str
    done: int
    total: int
    problem: str | None = None

    @property
    def running(self) -> bool:
        """Whether the process that does it still does."""
        if self.problem is not None:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # somebody else's, but it lives
        return True


class Pulls:
    """The pulls that pages of this home began."""

    def __init__(self, home: Path, models: LocalModels) -> None:
        self._folder = home / "engine"
        self._models = models
        self._weights = Weights(models=models)
        self._lock = threading.Lock()

    def present(self, name: str) -> bool:
        """Whether a local model's weights are here."""
        return self._weights.present(name)

    def find(self, name: str) -> Pull | None:
        """The pull of a local model, if one is under way or ended badly."""
        try:
            return Pull(**orjson.loads(self._file(name).read_bytes()))
        except (OSError, orjson.JSONDecodeError, TypeError):
            return None

    def begin(self, name: str) -> None:
        """Pull a local model's weights, unless that is being done already.

        Raises:
            WeightsError: there is no local model of this name.
        """
        if name not in self._models:
            raise WeightsError(f"There is no local model {name!r}.", "`noria model ls` lists them.")
        with self._lock:
            under_way = self.find(name)
            if under_way is not None and under_way.running:
                return
            self._note(name, Pull(os.getpid(), "download", 0, 0))
        threading.Thread(target=self._pull, args=(name,), name=f"pull {name}", daemon=True).start()

    def _pull(self, name: str) -> None:
        last = 0.0

        def progress(stage: str, done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last > _SECONDS:
                last = time.monotonic()
                self._note(name, Pull(os.getpid(), stage, done, total))

        try:
            self._weights.pull(name, progress)
        except WeightsError as problem:
            self._note(name, Pull(os.getpid(), "", 0, 0, str(problem)))
        else:
            self._file(name).unlink(missing_ok=True)

    def _note(self, name: str, pull: Pull) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._file(name).with_suffix(".tmp")
        fresh.write_bytes(orjson.dumps(pull))
        fresh.replace(self._file(name))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.pull"
