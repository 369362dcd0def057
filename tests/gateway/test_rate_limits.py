"""Rate and concurrency limits over several workers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.errors import ApiError
from noria.gateway import rate_limits as module
from noria.gateway.rate_limits import Limits, Quota


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000_000_020.0]  # the beginning of a minute
    monkeypatch.setattr(module.time, "time", lambda: now[0])
    return now


def admitted(limits: Limits, quota: Quota, times: int, tokens: int = 1) -> int:
    refusals: list[ApiError] = []
    for _ in range(times):
        try:
            limits.enter(quota, tokens)
        except ApiError as refused:
            refusals.append(refused)
    assert all(refused.status == 429 and refused.retry_after for refused in refusals)
    return times - len(refusals)


def test_requests_a_minute_hold_for_all_workers_together(
    tmp_path: Path, clock: list[float]
) -> None:
    first, second = Limits(tmp_path, 0, 2), Limits(tmp_path, 1, 2)
    quota = Quota(8, "This key", rpm=10)
    assert admitted(first, quota, 6) == 6
    assert admitted(second, quota, 6) == 4
    clock[0] += 60  # a whole minute later the earlier ones still weigh, and fade
    assert admitted(first, quota, 12) == 0
    clock[0] += 30
    assert admitted(second, quota, 12) == 5
    clock[0] += 180
    assert admitted(second, quota, 12) == 10


def test_concurrency_counts_what_runs(tmp_path: Path) -> None:
    first, second = Limits(tmp_path, 0, 2), Limits(tmp_path, 1, 2)
    quota = Quota(8, "This key", concurrency=3)
    assert admitted(first, quota, 2) == 2
    assert admitted(second, quota, 2) == 1
    first.leave(quota, 0)
    assert admitted(second, quota, 2) == 1
    restarted = Limits(tmp_path, 0, 2)
    restarted.clear()  # what the dead worker had running runs no more
    assert admitted(restarted, quota, 5) == 1


def test_tokens_a_minute_count_what_was_used(tmp_path: Path, clock: list[float]) -> None:
    limits = Limits(tmp_path, 0, 1)
    quota = Quota(8, "This key", tpm=100)
    limits.enter(quota, 10)
    limits.leave(quota, 85)
    assert admitted(limits, quota, 1, tokens=6) == 0
    assert admitted(limits, quota, 1, tokens=5) == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 90)), max_size=60))
def test_in_no_minute_of_the_clock_more_than_the_limit(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("limits")
    workers = [Limits(folder, number, 3, slots=64) for number in range(3)]
    quota = Quota(8, "This key", rpm=5)
    now, made = 1_000_000_020.0, {}
    original = module.time.time
    try:
        for worker, later in calls:
            now += later
            module.time.time = lambda at=now: at  # type: ignore[assignment]
            made[now // 60] = made.get(now // 60, 0) + admitted(workers[worker], quota, 1)
    finally:
        module.time.time = original
    assert all(count <= 5 for count in made.values())
