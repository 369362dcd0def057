"""Money: what a call costs never passes its bound, and the inverse is exact."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.config import PriceOverride
from noria.models.prices import (
    UNLIMITED,
    ComputePrice,
    Price,
    Rates,
    ScheduledPrice,
    TokenPrice,
    listed_price,
    overridden_price,
)
from noria.types import MediaUsage, Usage

rate = st.integers(0, 10**12)
whole_rate = st.integers(0, 10**6).map(lambda nano: nano * 10**6)
"""Whole nano-dollars for each token, as nearly all are."""
tokens = st.integers(0, 10_000_000)


@st.composite
def token_prices(draw: st.DrawFn) -> TokenPrice:
    starts = [0, *sorted(draw(st.sets(st.integers(1, 1_000_000), max_size=3)))]
    rates = draw(st.sampled_from([rate, whole_rate]))
    some = st.none() | rates
    tiers = tuple(
        Rates(start, *(draw(rates) for _ in range(5)), *(draw(some) for _ in range(7)))
        for start in starts
    )
    return TokenPrice(tiers, per_request=draw(st.integers(0, 10**9)))


@st.composite
def prices(draw: st.DrawFn) -> Price:
    if draw(st.booleans()):
        return draw(token_prices())
    hours = draw(st.sets(st.integers(0, 23)))
    return ScheduledPrice(
        (
            (lambda at: True, draw(token_prices())),
            (lambda at: at.hour in hours, draw(token_prices())),
        )
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    used, made = draw(tokens), draw(tokens)
    cached = draw(st.integers(0, used))
    counts = st.integers(0, 10_000_000)
    return Usage(
        input_tokens=used,
        output_tokens=made,
        cached_tokens=cached,
        cache_write_tokens=draw(st.integers(0, used - cached)),
        reasoning_tokens=draw(st.integers(0, made)),
        hour_write_tokens=draw(counts),
        media=draw(st.none() | st.builds(MediaUsage, *(counts for _ in range(6)))),
    )


@given(prices(), usages(), tokens, tokens)
def test_a_call_within_its_limits_costs_at_most_its_bound(
    price: Price, usage: Usage, more_input: int, more_output: int
) -> None:
    bound = price.bound(usage.input_tokens + more_input, usage.output_tokens + more_output, 60)
    assert 0 <= price.cost(usage) <= bound


@given(prices(), st.integers(0, 10**15), tokens)
def test_affordable_output_is_the_exact_inverse_of_the_bound(
    price: Price, nano: int, used: int
) -> None:
    fits = price.affordable_output(nano, used)
    assert 0 <= fits <= UNLIMITED
    if fits > 0:
        assert price.bound(used, fits, 0) <= nano
    if fits < UNLIMITED:
        assert price.bound(used, fits + 1, 0) > nano


@given(st.integers(0, 10**12), st.floats(0, 10**7), st.floats(0, 10**4))
def test_compute_is_bounded_by_its_seconds(per_second: int, ms: float, more: float) -> None:
    price = ComputePrice(per_second)
    cost = price.cost(Usage(compute_ms=ms))
    least = Decimal(ms) / 1000 * per_second
    assert cost >= least * (1 - Decimal(2) ** -52)  # a float has no more digits
    assert cost <= price.bound(0, 0, ms / 1000 + 0.000_001 + more)


@given(token_prices(), tokens, tokens)
def test_tokens_cost_their_rate_and_the_sum_is_rounded_up_once(
    price: TokenPrice, used: int, made: int
) -> None:
    *_, tier = [tier for tier in price.tiers if not tier.above or tier.above < used]
    exact = Fraction(used * tier.input + made * tier.output, 10**6) + price.per_request
    assert price.cost(Usage(input_tokens=used, output_tokens=made)) == ceil(exact)


def test_cached_and_reasoning_tokens_have_their_own_rates() -> None:
    price = TokenPrice((Rates(0, 1_000_000, 4_000_000, 100_000, 1_250_000, 8_000_000),))
    usage = Usage(
        input_tokens=100,
        output_tokens=50,
        cached_tokens=60,
        cache_write_tokens=20,
        reasoning_tokens=30,
    )
    assert price.cost(usage) == 20 * 1 + 6 + 25 + 20 * 4 + 30 * 8


def test_the_tier_that_the_whole_input_reaches_holds_for_all_tokens() -> None:
    low = Rates(0, 1_000_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000)
    high = Rates(1000, 2_000_000, 3_000_000, 2_000_000, 2_000_000, 3_000_000)
    price = TokenPrice((low, high))
    assert price.cost(Usage(input_tokens=1000, output_tokens=10)) == 1010
    assert price.cost(Usage(input_tokens=1001, output_tokens=10)) == 2032
    assert price.bound(1001, 10, 0) == 2032


def test_an_override_is_read_as_it_was_written() -> None:
    price = overridden_price(PriceOverride(input=0.1, output=0.3))
    assert price.cost(Usage(input_tokens=1_000_000, output_tokens=1_000_000)) == 400_000_000


def test_an_override_without_output_charges_output_as_input() -> None:
    price = overridden_price(PriceOverride(input=0.02))
    assert price.cost(Usage(output_tokens=1_000_000)) == 20_000_000


def test_a_local_model_costs_its_computing() -> None:
    price = overridden_price(PriceOverride(compute_hour=3.6))
    assert price.cost(Usage(compute_ms=1500)) == 1_500_000
    assert price.bound(10, 10, 2.0) == 2_000_000
    assert price.affordable_output(0, 10) == UNLIMITED


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-mini"),
        ("openai", "text-embedding-3-small"),
        ("google", "gemini-2.5-pro"),
        ("anthropic", "claude-sonnet-4-5"),
        ("deepseek", "deepseek-chat"),
    ],
)
@given(usage=usages())
def test_the_table_is_read_as_its_own_library_reads_it(
    provider: str, model: str, usage: Usage
) -> None:
    import genai_prices

    price, _ = listed_price(provider, model)
    assert price is not None
    theirs = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_tokens,
        ),
        model,
        provider_id=provider,
        genai_request_timestamp=datetime.now(UTC),
    ).total_price
    usage.cache_write_tokens = 0
    if model == "text-embedding-3-small":
        usage.output_tokens = usage.reasoning_tokens = 0
    assert price.cost(usage) - theirs * 10**9 in (0, pytest.approx(0, abs=1))


def test_an_unknown_model_has_no_price() -> None:
    assert listed_price("openai", "no-such-model-9000") == (None, None)
    assert listed_price("nobody", "gpt-4o-mini") == (None, None)


def test_what_is_kept_for_an_hour_costs_twice_the_input() -> None:
    rates = Rates(0, 3_000_000_000, 15_000_000_000, 300_000_000, 3_750_000_000, 15_000_000_000)
    hourly = replace(rates, hour_write=6_000_000_000)
    usage = Usage(1000, 0, 0, 0, 0.0, 1000, hour_write_tokens=400)
    assert TokenPrice((rates,)).cost(usage) == 1000 * 3750
    assert TokenPrice((hourly,)).cost(usage) == 600 * 3750 + 400 * 6000
    assert TokenPrice((hourly,)).bound(1000, 0, 1) == 1000 * 6000


@pytest.mark.parametrize(
    ("provider", "model"),
    [("anthropic", "claude-sonnet-4-6"), ("aws", "anthropic.claude-sonnet-4-6")],
)
def test_every_claude_has_a_price_for_an_hour(provider: str, model: str) -> None:
    price, _ = listed_price(provider, model)
    assert price is not None
    written = Usage(1000, 0, 0, 0, 0.0, 1000)
    kept = replace(written, hour_write_tokens=1000)
    assert price.cost(kept) * 1.25 == price.cost(written) * 2


def test_sound_and_images_have_prices_of_their_own() -> None:
    rates = Rates(
        0, 300_000, 2_500_000, 30_000, 300_000, 2_500_000,
        audio_input=1_000_000, cached_audio=100_000, image_output=30_000_000,
    )  # fmt: skip
    heard = Usage(1000, 0, 200, media=MediaUsage(audio_input=500, cached_audio=200))
    # 500 of text, 300 of sound, 200 of sound from the cache.
    whole = TokenPrice((rates,))
    assert whole.cost(heard) == ceil((500 * 300_000 + 300 * 1_000_000 + 200 * 100_000) / 10**6)
    drawn = Usage(0, 1290, media=MediaUsage(image_output=1290))
    assert whole.cost(drawn) == 1290 * 30
