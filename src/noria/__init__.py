"""noria: one governed door to any language model, and everything that comes after the answer."""

from noria.types import Budget, Label, Money, Principal, Span, SpanKind, Status, Usage, Window

__all__ = [
    "Budget",
    "Label",
    "Money",
    "Principal",
    "Span",
    "SpanKind",
    "Status",
    "Usage",
    "Window",
    "__version__",
]
__version__ = "0.1.0"
