"""`/metrics` for Prometheus: counters from the store's roll-ups, so that they are the same from
every worker and rise across restarts. No team, user or key is named there."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import generate_latest
from prometheus_client.core import CollectorRegistry, CounterMetricFamily, Metric

from noria.store import Database, counters, export_counts

__all__ = ["render_metrics"]


class _Calls:
    """Reads the counters anew for each scrape."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def collect(self) -> Iterator[Metric]:
        labels = ["kind", "model"]
        families = {
            "calls": CounterMetricFamily("noria_calls", "Calls that ended.", labels=labels),
            "errors": CounterMetricFamily(
                "noria_errors", "Calls that did not end with an answer.", labels=labels
            ),
            "input_tokens": CounterMetricFamily(
                "noria_input_tokens", "Prompt tokens.", labels=labels
            ),
            "output_tokens": CounterMetricFamily(
                "noria_output_tokens", "Tokens of replies.", labels=labels
            ),
            "cost_nano": CounterMetricFamily(
                "noria_cost_nano_dollars", "Cost in nano-dollars.", labels=labels
            ),
        }
        for counter in counters(self._db):
            of = [counter.kind, counter.model or ""]
            for name, family in families.items():
                family.add_metric(of, getattr(counter, name))
        yield from families.values()


class _Exports:
    """What became of the spans that a collector was to have."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def collect(self) -> Iterator[Metric]:
        delivered, dropped = export_counts(self._db)
        family = CounterMetricFamily(
            "noria_exported_spans", "Spans for a collector.", labels=["outcome"]
        )
        family.add_metric(["delivered"], delivered)
        family.add_metric(["dropped"], dropped)
        yield family


def render_metrics(db: Database) -> bytes:
    """The metrics in Prometheus' text format.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Calls(db))
    registry.register(_Exports(db))
    return generate_latest(registry)
