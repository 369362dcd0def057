"""Ids: in the order of time, never twice."""

from __future__ import annotations

from noria.ids import new_span_id, new_trace_id


def test_ids_sort_by_time_and_never_repeat() -> None:
    spans = [new_span_id() for _ in range(10_000)]
    assert spans == sorted(set(spans))
    assert {len(one) for one in spans} == {16}
    traces = [new_trace_id() for _ in range(1_000)]
    assert traces == sorted(set(traces))
    assert {len(one) for one in traces} == {32}
