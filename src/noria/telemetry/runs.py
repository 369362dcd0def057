"""Spans of instrumented libraries in the run of an application that they belong to.

What LangChain does inside a step is told to OpenTelemetry as a trace of its own. A processor in the
application's process knows better: it sees in which run, and below which step, a span has begun.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from noria.errors import NoriaError, StoreUnavailable
from noria.telemetry.otlp import ForeignSpan
from noria.telemetry.spans import Prices, price_finder, record_of
from noria.tracing import CallContext, current

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

__all__ = ["run_spans"]

log = logging.getLogger("noria.telemetry")


def run_spans() -> SpanProcessor:
    """A processor that writes each span which begins inside a run into that run's trace.

        provider = TracerProvider()
        provider.add_span_processor(run_spans())
        LangChainInstrumentor().instrument(tracer_provider=provider)

    Spans that begin outside of any run are left to the provider's other processors.

    Raises:
        NoriaError: OpenTelemetry's SDK is not installed.
    """
    try:
        from opentelemetry.sdk.trace import SpanProcessor
    except ImportError:
        raise NoriaError(
            "run_spans needs OpenTelemetry's SDK, which is not installed.",
            "Install it: pip install opentelemetry-sdk",
        ) from None

    class RunSpans(SpanProcessor):
        """Remembers where each span began, and writes it there when it ends."""

        def __init__(self) -> None:
            self._begun: dict[int, tuple[CallContext, str | None]] = {}
            self._prices: Prices | None = None
            self._mutex = threading.Lock()

        def on_start(self, span: Span, parent_context: Context | None = None) -> None:
            call_context, context = current.get(), span.get_span_context()
            if call_context is None or context is None:
                return
            with self._mutex:
                parent = call_context.span_id
                if span.parent is not None and span.parent.span_id in self._begun:
                    parent = f"{span.parent.span_id:016x}"
                self._begun[context.span_id] = call_context, parent

        def on_end(self, span: ReadableSpan) -> None:
            context = span.get_span_context()
            with self._mutex:
                begun = self._begun.pop(context.span_id, None) if context is not None else None
            if begun is None or context is None:
                return
            call_context, parent = begun
            self._prices = self._prices or price_finder(call_context.runtime.config)
            told = _as_foreign(span, f"{context.span_id:016x}", parent, call_context.trace.id)
            meta, request, response = record_of(
                told, call_context.trace.key, self._prices, content=call_context.content
            )
            if call_context.app is not None:
                meta["app"] = call_context.app
            try:
                call_context.runtime.journal.append(meta, request, response)
            except StoreUnavailable as failed:
                # What a library says of its work is not worth the work itself.
                log.warning("The span %s is not recorded: %s", span.name, failed.message)

    return RunSpans()


def _as_foreign(span: ReadableSpan, identity: str, parent: str | None, trace: str) -> ForeignSpan:
    start = span.start_time or 0
    scope = span.instrumentation_scope
    return ForeignSpan(
        trace_id=trace,
        id=identity,
        parent_id=parent,
        name=span.name[:256],
        start_ns=start,
        end_ns=max(span.end_time or start, start),
        failed=not span.status.is_ok and not span.status.is_unset,
        message=span.status.description or "",
        attributes=_plain(span.attributes),
        events=[(event.name, _plain(event.attributes)) for event in span.events],
        resource=_plain(span.resource.attributes),
        scope=scope.name if scope is not None else "",
    )


def _plain(attributes: Any) -> dict[str, Any]:
    """Attributes with lists where the SDK has tuples."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in (attributes or {}).items()
    }
