"""Functions around a model: applications, steps and checks, and how they are run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.apps.alerts import watch_rates
    from noria.apps.app import App
    from noria.apps.batch import BatchReport, run_batch
    from noria.apps.checks import Check, Verdict, check
    from noria.apps.executor import Executor, Placement, use_executor
    from noria.apps.failures import as_api_error
    from noria.apps.function import Function, function_of
    from noria.apps.judging import Evidence, Judgement, judge, settle
    from noria.apps.loader import load_app
    from noria.apps.model import Model
    from noria.apps.plain import close, current_place
    from noria.apps.resource import Resource
    from noria.apps.runs import Run, RunResult, start
    from noria.apps.steps import step
    from noria.apps.threads import follow_threads
    from noria.apps.variant import Variant

_NAMES_OF = {
    "alerts": "watch_rates",
    "app": "App",
    "batch": "BatchReport run_batch",
    "checks": "Check Verdict check",
    "executor": "Executor Placement use_executor",
    "failures": "as_api_error",
    "function": "Function function_of",
    "judging": "Evidence Judgement judge settle",
    "loader": "load_app",
    "model": "Model",
    "plain": "close current_place",
    "resource": "Resource",
    "runs": "Run RunResult start",
    "steps": "step",
    "threads": "follow_threads",
    "variant": "Variant",
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
    "current_place",
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
