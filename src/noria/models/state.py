"""What the engine processes and their host tell the rest of the installation.

`engine/<model>.json` in the home says how a local model does; `engine/secret` (mode 0600) lets a
process of this user call it.
"""

from __future__ import annotations

import enum
import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from noria.models.catalogue import Upstream

__all__ = [
    "EXPLAINED",
    "EngineAddresses",
    "EngineState",
    "Phase",
    "StateFile",
    "engine_secret",
    "engine_states",
    "engine_upstream",
]


EXPLAINED = 3
"""The exit code of an engine process that wrote its reason to the state file."""


class Phase(enum.StrEnum):
    """Where a local model stands."""

    ABSENT = "absent"
    """The weights are not here; the first call pulls them."""
    PULLING = "pulling"
    STARTING = "starting"
    READY = "ready"
    STOPPED = "stopped"
    """Nothing runs; the next call starts it."""
    CRASHED = "crashed"
    """It failed, and calls are refused for a while; `message` says why."""


@dataclass(frozen=True, slots=True)
class EngineState:
    """How one local model does."""

    state: Phase
    port: int = 0
    pid: int | None = None
    message: str | None = None
    stage: str | None = None
    """While pulling: `download` (in bytes) or `convert` (in tensors)."""
    done: int = 0
    total: int = 0


class StateFile:
    """One model's state, replaced as a whole so that a reader never sees half of it."""

    def __init__(self, home: Path, model: str) -> None:
        self.path = home / "engine" / f"{model}.json"

    def read(self) -> EngineState | None:
        """The state; None where no server ever ran on this home."""
        try:
            table = json.loads(self.path.read_bytes())
            return EngineState(**table | {"state": Phase(table["state"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, state: EngineState) -> None:
        """Replace the state."""
        fresh = self.path.with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps(asdict(state)))
        fresh.replace(self.path)

    def remove(self) -> None:
        """Forget the state: the model is no longer there."""
        self.path.unlink(missing_ok=True)

    def change(self, phase: Phase, message: str | None = None, **figures: object) -> None:
        """Write a new phase under the port that is known."""
        known = self.read() or EngineState(phase)
        self.write(replace(EngineState(phase, known.port, message=message), **figures))  # type: ignore[arg-type]


def engine_secret(home: Path) -> str:
    """The secret of this home's engines, made at the first call."""
    path = home / "engine" / "secret"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    except FileExistsError:
        pass
    return path.read_text()


class EngineAddresses:
    """Where the engines of a home listen, for processes beside their host."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def state(self, model: str) -> EngineState | None:
        """How a local model does; None where no server ran on this home yet."""
        return StateFile(self._home, model).read()

    def upstream(self, model: str) -> Upstream | None:
        """The address of a model's engine; None where no server ran on this home yet."""
        state = self.state(model)
        secret = self._home / "engine" / "secret"
        if state is None or not state.port or not secret.exists():
            return None
        return engine_upstream(state.port, secret.read_text())


def engine_upstream(port: int, secret: str) -> Upstream:
    """The address of an engine that listens on loopback."""
    headers = ((b"Authorization", f"Bearer {secret}".encode()),)
    return Upstream(False, "127.0.0.1", port, "/v1", headers, usage_in_stream=True)


def engine_states(home: Path) -> dict[str, str]:
    """How each local model of a home does, by name: the phase alone."""
    found = {path.stem: StateFile(home, path.stem).read() for path in home.glob("engine/*.json")}
    return {name: str(state.state) for name, state in sorted(found.items()) if state is not None}
