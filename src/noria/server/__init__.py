"""The process that serves: its router, its workers, their supervisor and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.server.router import Router
    from noria.server.worker import open_gateway, run_intake, run_worker

__all__ = ["Router", "open_gateway", "run_intake", "run_worker"]

__getattr__ = load_on_use(
    __name__, {"router": "Router", "worker": "open_gateway run_intake run_worker"}
)
