"""The one door to every model: authenticate, authorise, reserve, route, relay, settle, record."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noria.gateway.core import Gateway
    from noria.gateway.door import Door
    from noria.gateway.request import Endpoint
    from noria.gateway.sink import Collector, Sink
    from noria.gateway.worker import open_gateway, run_intake, run_worker

_HOMES = {
    "Collector": "sink",
    "Door": "door",
    "Endpoint": "request",
    "Gateway": "core",
    "Sink": "sink",
    "open_gateway": "worker",
    "run_intake": "worker",
    "run_worker": "worker",
}

__all__ = [
    "Collector",
    "Door",
    "Endpoint",
    "Gateway",
    "Sink",
    "open_gateway",
    "run_intake",
    "run_worker",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
