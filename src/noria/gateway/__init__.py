"""The one door to every model: authenticate, authorise, reserve, route, relay, settle, record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.gateway.core import Application, Applications, Gateway

_NAMES_OF = {
    "core": "Application Applications Gateway",
}

__all__ = [
    "Application",
    "Applications",
    "Gateway",
]

__getattr__ = load_on_use(__name__, _NAMES_OF)
