"""The one door to every model: authenticate, authorise, reserve, route, relay, settle, record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.gateway.core import Application, Applications, Gateway
    from noria.gateway.door import Door
    from noria.gateway.endpoint import Endpoint
    from noria.gateway.sink import Collector, Sink
    from noria.gateway.tracing import Marks, Place, Trace, Work, here, span
    from noria.gateway.worker import open_gateway, run_intake, run_worker

_NAMES_OF = {
    "core": "Application Applications Gateway",
    "door": "Door",
    "endpoint": "Endpoint",
    "sink": "Collector Sink",
    "tracing": "Marks Place Trace Work here span",
    "worker": "open_gateway run_intake run_worker",
}

__all__ = [
    "Application",
    "Applications",
    "Collector",
    "Door",
    "Endpoint",
    "Gateway",
    "Marks",
    "Place",
    "Sink",
    "Trace",
    "Work",
    "here",
    "open_gateway",
    "run_intake",
    "run_worker",
    "span",
]

__getattr__ = load_on_use(__name__, _NAMES_OF)
