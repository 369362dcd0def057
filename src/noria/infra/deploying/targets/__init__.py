"""The kinds of targets: what is written for each, and how it is handed over."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from noria.errors import ConfigError

if TYPE_CHECKING:
    from noria.config import Config, Target
    from noria.infra.deploying.targets.base import Place

__all__ = ["place_of", "target_of"]

# Each is imported where it is used.
_PLACES = {
    "local": ("local", "LocalPlace"),
    "ssh": ("ssh", "SSHPlace"),
    "docker": ("docker", "DockerPlace"),
    "kubernetes": ("kubernetes", "KubernetesPlace"),
    "ray": ("ray", "RayPlace"),
    "skypilot": ("skypilot", "SkyPilotPlace"),
}


def target_of(config: Config, name: str) -> Target:
    """Find a target's settings: `[targets.NAME]`, or those of a kind by default.

    Raises:
        ConfigError: there is no such target.
    """
    from noria.config import Target

    target = config.targets.get(name, Target() if name in _PLACES else None)
    kind = None if target is None else target.kind or (name if name in _PLACES else None)
    if target is None or kind is None:
        known = ", ".join(sorted({*config.targets, *_PLACES}))
        what = "has no kind" if target is not None else "does not exist"
        raise ConfigError(
            f"The target {name!r} {what}. There is: {known}.",
            f'Write in noria.toml: [targets.{name}] with kind = "ssh", and host = "user@host".',
        )
    return target.model_copy(update={"kind": kind})


def place_of(config: Config, name: str) -> Place:
    """Make what acts on a target.

    Raises:
        ConfigError: there is no such target, or a setting that its kind needs is missing.
    """
    target = target_of(config, name)
    module, made = _PLACES[str(target.kind)]
    place: Place = getattr(import_module(f"{__name__}.{module}"), made)(config, name, target)
    return place
