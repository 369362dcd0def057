"""Figures as LOOK has them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.web import format

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "–"), (0.42, "0.42 ms"), (4.25, "4.2 ms"), (380, "380 ms"), (999.4, "999 ms"),
        (999.6, "1.00 s"), (1240, "1.24 s"), (6200, "6.20 s"), (42_000, "42.0 s"),
        (59_994, "60.0 s"), (125_000, "2 min 5 s"), (3_720_000, "1 h 2 min"),
    ],
)  # fmt: skip
def test_durations(ms: float | None, text: str) -> None:
    assert format.duration(ms) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (5, "5 s ago"), (61, "1 min ago"), (7200, "2 h ago"), (3 * 86400, "3 d ago"),
     (-3600 * 5, "in 5 h"), (86400 * 60, "2026-09-25")],
)  # fmt: skip
def test_times_are_relative(seconds: int, text: str) -> None:
    assert format.relative(NOW_NS - seconds * 1_000_000_000, NOW) == text


def test_a_time_has_the_exact_one_on_hover() -> None:
    assert 'title="2026-11-24 12:00:00 UTC"' in format.when(NOW_NS)


def test_money_has_three_figures_and_the_exact_amount_on_hover() -> None:
    assert format.money(123_456) == '<span title="0.000123456 USD">$0.000123</span>'
    assert format.money(0) == '<span title="0 USD">$0</span>'


@given(st.integers(0, 10**15))
def test_the_exact_amount_is_exact(nano: int) -> None:
    from decimal import Decimal

    assert Decimal(format.exact_money(nano).removesuffix(" USD")) * 10**9 == nano


@given(st.integers(1, 10**6), st.data())
def test_an_interval_holds_the_share(whole: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(0, whole))
    low, high = format.interval(part, whole).removesuffix(" %").split("–")
    share = 100 * part / whole
    assert float(low) * 0.94 - 1e-9 <= share <= float(high) * 1.06 + 1e-9


def test_counts() -> None:
    assert format.count(1234567) == "1,234,567"
    assert format.compact(299_400) == '<span title="299,400">299 k</span>'
    assert format.percent(26, 839) == "3.1 %"
    assert format.percent(0, 0) == "–"


def test_speed_counts_after_the_first_token() -> None:
    assert format.rate(101, 2000, 1000) == "100 tokens/s"
    assert format.rate(None, 2000, None) == "–"
