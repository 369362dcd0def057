"""noria: one governed door to any language model, and everything that comes after the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use
from noria.types import Budget, Label, Money, Principal, Span, SpanKind, Status, Usage, Window

if TYPE_CHECKING:
    from noria.apps import App, Model, Verdict, check, step
    from noria.retrieval import Document

__all__ = [
    "App",
    "Budget",
    "Document",
    "Label",
    "Model",
    "Money",
    "Principal",
    "Span",
    "SpanKind",
    "Status",
    "Usage",
    "Verdict",
    "Window",
    "__version__",
    "check",
    "step",
]
__version__ = "0.1.0"

__getattr__ = load_on_use(
    __name__, {"apps": "App Model Verdict check step", "retrieval": "Document"}
)
