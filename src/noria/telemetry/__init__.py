"""Telemetry both ways: spans of other tools are taken in, noria's own are sent out.

`names` owns the vocabularies, `Receiver` answers `POST /v1/traces`, `Exporter` sends finished spans
to an OTLP collector, `run_spans` puts what instrumented libraries do into an application's runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.telemetry.export import (
        Destination,
        Exporter,
        destination,
        prepare_export,
        run_export,
    )
    from noria.telemetry.receive import Receiver, receiving_routes
    from noria.telemetry.runs import run_spans

_NAMES_OF = {
    "export": "Destination Exporter destination prepare_export run_export",
    "receive": "Receiver receiving_routes",
    "runs": "run_spans",
}

__all__ = [
    "Destination",
    "Exporter",
    "Receiver",
    "destination",
    "prepare_export",
    "receiving_routes",
    "run_export",
    "run_spans",
]

__getattr__ = load_on_use(__name__, _NAMES_OF)
