"""The kinds of targets: what is written for each, and how it is handed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.errors import ConfigError

if TYPE_CHECKING:
    from noria.config import Config, Target
    from noria.infra.deploying.targets.base import Place

__all__ = ["place_of", "target_of"]

_KINDS = ("local", "ssh", "docker", "kubernetes", "ray", "skypilot")


def target_of(config: Config, name: str) -> Target:
    """Find a target's settings: `[targets.NAME]`, or those of a kind by default.

    Raises:
        ConfigError: there is no such target.
    """
    from noria.config import Target

    target = config.targets.get(name, Target() if name in _KINDS else None)
    kind = None if target is None else target.kind or (name if name in _KINDS else None)
    if target is None or kind is None:
        known = ", ".join(sorted({*config.targets, *_KINDS}))
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
    match target.kind:
        case "local":
            from noria.infra.deploying.targets.local import LocalPlace as Found
        case "ssh":
            from noria.infra.deploying.targets.ssh import SSHPlace as Found
        case "docker":
            from noria.infra.deploying.targets.docker import DockerPlace as Found
        case "kubernetes":
            from noria.infra.deploying.targets.kubernetes import KubernetesPlace as Found
        case "ray":
            from noria.infra.deploying.targets.ray import RayPlace as Found
        case _:
            from noria.infra.deploying.targets.skypilot import SkyPilotPlace as Found
    place: Place = Found(config, name, target)
    return place
