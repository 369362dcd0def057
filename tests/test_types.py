"""Money, windows, labels and ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.types import Budget, Label, Money, Window

INSTANTS = st.datetimes(
    min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)
)


@given(st.integers(min_value=0, max_value=10**18))
def test_a_whole_number_of_nano_dollars_survives_the_way_through_dollars(nano: int) -> None:
    assert Money.from_usd(Money(nano).usd) == nano


@given(st.decimals(min_value=0, max_value=10**9, allow_nan=False, allow_infinity=False, places=12))
def test_dollars_are_rounded_up_to_less_than_one_nano_dollar_more(amount: Decimal) -> None:
    excess = Money.from_usd(amount).usd - amount
    assert 0 <= excess < Decimal("1e-9")


@pytest.mark.parametrize("text", ["", "much", "NaN", "Infinity", "1,5"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        Money.from_usd(text)


@pytest.mark.parametrize(
    ("nano", "shown"),
    [
        (0, "$0"),
        (34_000, "$0.0000340"),
        (1_234_000_000, "$1.23"),
        (12_500_000_000, "$12.50"),
        (1_234_567_000_000_000, "$1,234,567.00"),
        (-5_000_000, "-$0.00500"),
    ],
)
def test_money_is_shown_with_three_significant_figures(nano: int, shown: str) -> None:
    assert str(Money(nano)) == shown


@pytest.mark.parametrize(
    ("text", "nano", "window"),
    [
        ("20 USD/day", 20 * 10**9, Window.DAY),
        ("100 usd / month", 100 * 10**9, Window.MONTH),
        ("0.5 USD/week", 5 * 10**8, Window.WEEK),
        ("1,000 USD", 1000 * 10**9, Window.TOTAL),
    ],
)
def test_a_budget_is_an_amount_and_a_window(text: str, nano: int, window: Window) -> None:
    assert Budget.parse(text) == Budget(Money(nano), window)
    assert Budget.parse(str(Budget.parse(text))) == Budget.parse(text)


@pytest.mark.parametrize("text", ["20", "20 EUR/day", "USD", "-1 USD", "5 USD/hour", "5 USD/day x"])
def test_what_is_no_budget_says_how_one_is_written(text: str) -> None:
    with pytest.raises(ValueError, match="20 USD/day"):
        Budget.parse(text)


@given(INSTANTS, st.sampled_from([Window.DAY, Window.WEEK, Window.MONTH]))
def test_windows_follow_each_other_without_gap_or_overlap(at: datetime, window: Window) -> None:
    start, end = window.start(at), window.end(at)
    assert end is not None
    assert start <= at < end
    assert window.start(end) == end
    assert window.start(end - timedelta(microseconds=1)) == start


def test_a_week_begins_on_monday_and_a_total_never_ends() -> None:
    at = datetime(2026, 11, 24, 12, tzinfo=UTC)  # a Tuesday
    assert Window.WEEK.start(at) == datetime(2026, 11, 23, tzinfo=UTC)
    assert Window.TOTAL.end(at) is None


def test_labels_are_ordered_and_named() -> None:
    assert Label.PUBLIC < Label.INTERNAL < Label.CONFIDENTIAL < Label.RESTRICTED
    assert Label.parse("confidential") is Label.CONFIDENTIAL
    with pytest.raises(ValueError, match="public, internal, confidential, restricted"):
        Label.parse("secret")
