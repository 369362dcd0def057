"""The executor of placed steps, registered through the same door as any plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noria.apps.declare.placement import Executor
    from noria.plugins import Registry

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Add what calls steps that are placed on a target."""
    registry.executors.add("targets", _targets)


def _targets() -> Executor:
    from noria.infra.placed import PlacedSteps

    return PlacedSteps()
