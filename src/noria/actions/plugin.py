"""What actions give to applications, registered through the same door as any plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noria.plugins import Registry

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Add the toolkit `actions`, which `App.actions` asks for."""
    from noria.actions.tools import make_tools

    registry.toolkits.add("actions", make_tools)
