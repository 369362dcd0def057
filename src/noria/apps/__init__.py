"""Functions around a model: applications, steps and checks, and how they are run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.apps.declare.app import App
    from noria.apps.declare.check import Check, Verdict, check
    from noria.apps.declare.function import Function, function_of
    from noria.apps.declare.placement import Executor, Placement, use_executor
    from noria.apps.declare.resource import Resource
    from noria.apps.declare.step import step
    from noria.apps.declare.variant import Variant
    from noria.apps.host.loader import load_app
    from noria.apps.model.model import Model
    from noria.apps.run.batch import BatchReport, run_batch
    from noria.apps.run.checking import Evidence, Judgement, judge, settle
    from noria.apps.run.failures import as_api_error
    from noria.apps.run.propagation import follow_threads
    from noria.apps.run.run import Run, RunResult, start
    from noria.apps.run.standalone import close, current_context
    from noria.apps.serve.alerts import watch_rates

_NAMES_OF = {
    "serve.alerts": "watch_rates",
    "declare.app": "App",
    "run.batch": "BatchReport run_batch",
    "declare.check": "Check Verdict check",
    "declare.placement": "Executor Placement use_executor",
    "run.failures": "as_api_error",
    "declare.function": "Function function_of",
    "run.checking": "Evidence Judgement judge settle",
    "host.loader": "load_app",
    "model.model": "Model",
    "run.standalone": "close current_context",
    "declare.resource": "Resource",
    "run.run": "Run RunResult start",
    "declare.step": "step",
    "run.propagation": "follow_threads",
    "declare.variant": "Variant",
}

__all__ = [
    "App",
    "BatchReport",
    "Check",
    "Evidence",
    "Executor",
    "Function",
    "Judgement",
    "Model",
    "Placement",
    "Resource",
    "Run",
    "RunResult",
    "Variant",
    "Verdict",
    "as_api_error",
    "check",
    "close",
    "current_context",
    "follow_threads",
    "function_of",
    "judge",
    "load_app",
    "run_batch",
    "settle",
    "start",
    "step",
    "use_executor",
    "watch_rates",
]

__getattr__ = load_on_use(__name__, _NAMES_OF)
