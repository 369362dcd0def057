"""The one door to every model: authenticate, authorise, reserve, route, relay, settle, record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.gateway.core import Gateway
    from noria.gateway.door import Door
    from noria.gateway.request import Endpoint
    from noria.gateway.sink import Collector, Sink
    from noria.gateway.worker import open_gateway, run_intake, run_worker

_NAMES_OF = {
    "core": "Gateway",
    "door": "Door",
    "request": "Endpoint",
    "sink": "Collector Sink",
    "worker": "open_gateway run_intake run_worker",
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

__getattr__ = load_on_use(__name__, _NAMES_OF)
