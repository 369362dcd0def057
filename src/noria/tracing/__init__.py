"""The context of running code: its trace, its caller, the span under way, the trace's label."""

from noria.tracing.context import ActiveSpan, CallContext, Trace, TraceLabels, current, span

__all__ = ["ActiveSpan", "CallContext", "Trace", "TraceLabels", "current", "span"]
