"""The context of running code: its trace, its caller, the span under way, the trace's label."""

from noria.tracing.context import CallContext, Runtime, blocked_loop, current
from noria.tracing.labels import TraceLabels
from noria.tracing.span import ActiveSpan, span
from noria.tracing.trace import Trace

__all__ = [
    "ActiveSpan",
    "CallContext",
    "Runtime",
    "Trace",
    "TraceLabels",
    "blocked_loop",
    "current",
    "span",
]
