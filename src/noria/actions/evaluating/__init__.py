"""How well calls are chosen: four numbers, and the official metric of each benchmark beside."""

from __future__ import annotations

from noria.actions.evaluating.report import CallReport
from noria.actions.evaluating.running import evaluate
from noria.actions.evaluating.traces import count_traces

__all__ = ["CallReport", "count_traces", "evaluate"]
