"""What every kind of target does, and running the tools that some of them need."""

from __future__ import annotations

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from noria.config import Config, Target
from noria.errors import NoriaError
from noria.infra.deploying.release import Release

__all__ = ["Place", "Standing", "run_tool"]

_TOOL_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Standing:
    """How a release stands on its target."""

    state: str
    """`live`, `written` (its files were not handed over), `starting`, `failed` or `gone`."""
    detail: str = ""
    address: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As `noria deploy status --json` prints it."""
        return {"state": self.state, "detail": self.detail, "address": self.address}


class Place(ABC):
    """A target that releases are brought to. Everything may be done again after it was cut off."""

    splits = False
    """Whether the door of this home can send it a share of the traffic."""

    def __init__(self, config: Config, name: str, target: Target) -> None:
        self.config = config
        self.name = name
        self.target = target

    @abstractmethod
    def apply(self, release: Release) -> Standing:
        """Bring a release there, in place of another revision of its application.

        Raises:
            NoriaError: it could not be done; what served before still does.
        """

    @abstractmethod
    def status(self, app: str, revision: str) -> Standing:
        """How a revision stands now."""

    @abstractmethod
    def logs(self, app: str, lines: int) -> str:
        """The end of what it has printed."""

    @abstractmethod
    def destroy(self, app: str) -> None:
        """Take an application away."""


def run_tool(
    command: Sequence[str],
    what: str,
    *,
    given: bytes | None = None,
    seconds: int = _TOOL_SECONDS,
    secrets: Mapping[str, str] | None = None,
) -> str:
    """Run a target's own tool.

    Args:
        command: the tool and its arguments; nothing in them is read by a shell.
        what: what it is to do, for the error.
        given: its standard input.
        seconds: how long it may take.
        secrets: further variables of its environment.

    Returns: what it printed.

    Raises:
        NoriaError: it is not installed, takes too long, or fails (its own words are in the error).
    """
    if shutil.which(command[0]) is None:
        raise NoriaError(f"{what} needs {command[0]}, which is not installed on this machine.")
    try:
        done = subprocess.run(
            command,
            input=given or b"",
            capture_output=True,
            timeout=seconds,
            check=False,
            env=os.environ | dict(secrets or {}),
        )
    except subprocess.TimeoutExpired:
        raise NoriaError(f"{what}: {command[0]} took over {seconds} s.") from None
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-2000:]
        raise NoriaError(f"{what}: {command[0]} ended with {done.returncode}: {said}")
    return done.stdout.decode(errors="replace")
