"""APIBench (Patil et al., "Gorilla", 2023): calls that load a model, and its AST metric."""

from __future__ import annotations

from noria.actions.evaluating.apibench.metric import Verdict, official_verdict, read_calls
from noria.actions.evaluating.apibench.rows import ApiBench, ApiRow, read_apibench

__all__ = ["ApiBench", "ApiRow", "Verdict", "official_verdict", "read_apibench", "read_calls"]
