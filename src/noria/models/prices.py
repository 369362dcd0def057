"""What a call costs, in integer nano-dollars (1 USD = 1,000,000,000).

A hosted model's price comes from the table of `genai-prices`, or from `[prices."name"]` in
`noria.toml`, which wins. It is looked up once per model; after that a price is a few integers.
Rates are nano-dollars per million tokens, so that every figure is exact until the one rounding,
which goes up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Protocol

from typing_extensions import override

from noria.types import NANO_PER_USD, Usage, utc_now

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

    from noria.config import PriceOverride

__all__ = [
    "UNLIMITED",
    "ComputePrice",
    "Price",
    "Rates",
    "ScheduledPrice",
    "TokenPrice",
    "listed_price",
    "overridden_price",
]

UNLIMITED = 2**31 - 1
"""The answer of `affordable_output` where more tokens cost nothing."""

_MILLION = 1_000_000
_HOUR_WRITE_FACTOR = 2
"""What Anthropic charges for writing to the cache for an hour, in prices of input; for five minutes
it is 1.25."""


class Price(Protocol):
    """The price of one model."""

    def cost(self, usage: Usage) -> int:
        """What a finished call cost, in nano-dollars."""

    def bound(self, input_tokens: int, output_tokens: int, seconds: float) -> int:
        """The most, in nano-dollars, that a call within these limits can cost.

        `seconds` of computing count for local models only. No discount is taken for granted.
        """

    def affordable_output(self, nano: int, input_tokens: int) -> int:
        """The most output tokens whose `bound` fits in `nano`; 0 where not even one does."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars per million tokens for calls whose input is longer than `above` tokens."""

    above: int
    input: int
    output: int
    cached: int
    """Input that was read from the provider's prompt cache."""
    cache_write: int
    """Input that was written to it (a few providers charge more for that)."""
    reasoning: int
    hour_write: int | None = None
    """Input that was written to the cache for an hour; None where it costs what other writes do."""
    audio_input: int | None = None
    """Sound; None, as below, where it costs what text does."""
    audio_output: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    cached_audio: int | None = None
    """Sound that was read from the cache; None where it costs what text from there does."""
    cached_image: int | None = None

    dearest_input: int = field(init=False)
    """The most that a token of input can cost, however the cache is used and whatever it is of."""
    dearest_output: int = field(init=False)
    """The most that a token of output can cost."""

    def __post_init__(self) -> None:
        put = (self.hour_write, self.audio_input, self.image_input)
        kept = (self.cached_audio, self.cached_image)
        said = (self.audio_output, self.image_output)
        base = max(self.input, self.cached, self.cache_write)
        object.__setattr__(self, "dearest_input", max(base, *(rate or 0 for rate in put + kept)))
        base = max(self.output, self.reasoning)
        object.__setattr__(self, "dearest_output", max(base, *(rate or 0 for rate in said)))

    def surcharge(self, usage: Usage, cached: int, written: int) -> int:
        """What those tokens cost beyond what others do that are neither sound nor images, nor
        written for an hour; in the unit of the rates, and less than 0 where they are cheaper.

        Args:
            usage: the call's.
            cached: how much of its input was read from the cache.
            written: how much was written to it.
        """
        hour = min(usage.hour_write_tokens, written)
        total = hour * (_or(self.hour_write, self.cache_write) - self.cache_write)
        media = usage.media
        if media is None:
            return total
        heard = min(media.cached_audio, media.audio_input, cached)
        seen = min(media.cached_image, media.image_input, cached - heard)
        fresh = usage.input_tokens - cached - written
        sound = min(media.audio_input - heard, fresh)
        images = min(media.image_input - seen, fresh - sound)
        made = max(0, usage.output_tokens - usage.reasoning_tokens)
        spoken = min(media.audio_output, made)
        drawn = min(media.image_output, made - spoken)
        return (
            total
            + heard * (_or(self.cached_audio, self.cached) - self.cached)
            + seen * (_or(self.cached_image, self.cached) - self.cached)
            + sound * (_or(self.audio_input, self.input) - self.input)
            + images * (_or(self.image_input, self.input) - self.input)
            + spoken * (_or(self.audio_output, self.output) - self.output)
            + drawn * (_or(self.image_output, self.output) - self.output)
        )


def _or(rate: int | None, otherwise: int) -> int:
    return otherwise if rate is None else rate


@dataclass(frozen=True, slots=True)
class TokenPrice(Price):
    """A price by tokens. `tiers` rise by `above`, and the first begins at 0; the tier that a
    call's whole input reaches holds for all of its tokens."""

    tiers: tuple[Rates, ...]
    per_request: int = 0
    """Nano-dollars for the call itself."""

    _by_token: tuple[int, int, int, int] | None = field(init=False, repr=False)
    """Whole nano-dollars for a token of input, of output, and the dearest of either, where that is
    all there is to say, as of nearly all prices: to divide large numbers takes time, and both
    `cost` and `bound` are on the path of each call."""

    def __post_init__(self) -> None:
        first = self.tiers[0]
        rates = (first.input, first.output, first.dearest_input, first.dearest_output)
        simple = len(self.tiers) == 1 and not any(rate % _MILLION for rate in rates)
        by_token = tuple(rate // _MILLION for rate in rates) if simple else None
        object.__setattr__(self, "_by_token", by_token)

    @override
    def cost(self, usage: Usage) -> int:
        plain = not (
            usage.cached_tokens
            or usage.cache_write_tokens
            or usage.reasoning_tokens
            or usage.media is not None
        )
        if plain and self._by_token is not None:
            used, made, _, _ = self._by_token
            return usage.input_tokens * used + usage.output_tokens * made + self.per_request
        rates = self.tiers[0]
        for tier in self.tiers:
            if usage.input_tokens > tier.above:
                rates = tier
        cached = min(usage.cached_tokens, usage.input_tokens)
        written = min(usage.cache_write_tokens, usage.input_tokens - cached)
        reasoning = min(usage.reasoning_tokens, usage.output_tokens)
        total = (
            (usage.input_tokens - cached - written) * rates.input
            + cached * rates.cached
            + written * rates.cache_write
            + (usage.output_tokens - reasoning) * rates.output
            + reasoning * rates.reasoning
        )
        if usage.hour_write_tokens or usage.media is not None:
            total += rates.surcharge(usage, cached, written)
        return -(-total // _MILLION) + self.per_request

    @override
    def bound(self, input_tokens: int, output_tokens: int, seconds: float) -> int:
        if self._by_token is not None:
            _, _, used, made = self._by_token
            return input_tokens * used + output_tokens * made + self.per_request
        total = max(
            input_tokens * tier.dearest_input + output_tokens * tier.dearest_output
            for tier in self._within_reach(input_tokens)
        )
        return -(-total // _MILLION) + self.per_request

    @override
    def affordable_output(self, nano: int, input_tokens: int) -> int:
        left = (nano - self.per_request) * _MILLION
        fits = UNLIMITED
        for tier in self._within_reach(input_tokens):
            rest = left - input_tokens * tier.dearest_input
            if rest < 0:
                return 0
            if tier.dearest_output:
                fits = min(fits, rest // tier.dearest_output)
        return fits

    def _within_reach(self, input_tokens: int) -> list[Rates]:
        """The tiers that an input of at most so many tokens may fall in."""
        return [tier for tier in self.tiers if tier.above < input_tokens] or [self.tiers[0]]


@dataclass(frozen=True, slots=True)
class ScheduledPrice(Price):
    """A price that changes with the hour of the day or from a date on.

    `variants` are tried from the last to the first, as the table orders them; the first is the
    fallback. The bound is the dearest of them: a call may begin in one and end in another.
    """

    variants: tuple[tuple[Callable[[datetime], bool], Price], ...]

    @override
    def cost(self, usage: Usage) -> int:
        now = utc_now()
        for active, price in reversed(self.variants):
            if active(now):
                return price.cost(usage)
        return self.variants[0][1].cost(usage)

    @override
    def bound(self, input_tokens: int, output_tokens: int, seconds: float) -> int:
        return max(p.bound(input_tokens, output_tokens, seconds) for _, p in self.variants)

    @override
    def affordable_output(self, nano: int, input_tokens: int) -> int:
        return min(p.affordable_output(nano, input_tokens) for _, p in self.variants)


@dataclass(frozen=True, slots=True)
class ComputePrice(Price):
    """The price of an embedded model: its measured busy time."""

    per_second: int = 0
    """Nano-dollars."""

    @override
    def cost(self, usage: Usage) -> int:
        return self._for_microseconds(math.ceil(usage.compute_ms * 1000))

    @override
    def bound(self, input_tokens: int, output_tokens: int, seconds: float) -> int:
        return self._for_microseconds(math.ceil(seconds * 1_000_000))

    @override
    def affordable_output(self, nano: int, input_tokens: int) -> int:
        return UNLIMITED  # the bound is set by seconds, whatever the tokens

    def _for_microseconds(self, microseconds: int) -> int:
        return -(-microseconds * self.per_second // 1_000_000)


def overridden_price(override: PriceOverride) -> Price:
    """The price that `[prices."name"]` sets. Without `output`, output costs what input does."""
    if override.compute_hour is not None:
        hour = _nano(override.compute_hour)
        return ComputePrice(-(-hour // 3600))
    assert override.input is not None  # the section is checked when it is read
    input_rate = _nano(override.input)
    output = input_rate if override.output is None else _nano(override.output)
    cached = input_rate if override.cached_input is None else _nano(override.cached_input)
    return TokenPrice((Rates(0, input_rate, output, cached, input_rate, output),))


def listed_price(provider: str, model: str) -> tuple[Price | None, int | None]:
    """The price and the context window that the table knows for a provider's model.

    Slow (the table takes half a second to import): ask once per model.
    """
    from genai_prices.data import providers
    from genai_prices.types import StartDateConstraint

    vendor = next((one for one in providers if one.id == provider), None)
    found = vendor and vendor.find_model(model, all_providers=providers)
    if not found:
        return None, None
    by_the_hour = "claude" in found.id
    if not isinstance(found.prices, list):
        return _token_price(found.prices, by_the_hour=by_the_hour), found.context_window
    variants: list[tuple[Callable[[datetime], bool], Price]] = []
    now = utc_now()
    for conditional in reversed(found.prices):
        price = _token_price(conditional.prices, by_the_hour=by_the_hour)
        rule = conditional.constraint
        if price is None:
            continue
        variants.insert(0, (rule.active if rule else _always, price))
        if rule is None or (isinstance(rule, StartDateConstraint) and rule.active(now)):
            break  # what stands before it has been replaced for good
    if not variants:
        return None, found.context_window
    if len(variants) == 1:
        return variants[0][1], found.context_window
    return ScheduledPrice(tuple(variants)), found.context_window


def _always(at: datetime) -> bool:
    return True


def _token_price(prices: ModelPrice, *, by_the_hour: bool) -> TokenPrice | None:
    """Read one entry of the table; None where it does not price input by tokens.

    Args:
        prices: the entry.
        by_the_hour: whether the model's prompt cache can keep for an hour, which the table does
            not price for all models that can.
    """
    from genai_prices.types import TieredPrices

    if prices.input_mtok is None:
        return None
    starts = {0}
    for value in vars(prices).values():
        if isinstance(value, TieredPrices):
            starts.update(tier.start for tier in value.tiers)

    def rate(name: str, above: int, default: int) -> int:
        value = getattr(prices, name)
        if value is None:
            return default
        if isinstance(value, TieredPrices):
            reached = [tier.price for tier in value.tiers if tier.start <= above]
            value = reached[-1] if reached else value.base
        return _nano(value)

    def perhaps(name: str, above: int) -> int | None:
        return None if getattr(prices, name) is None else rate(name, above, 0)

    tiers = []
    for above in sorted(starts):
        input_rate = rate("input_mtok", above, 0)
        output = rate("output_mtok", above, input_rate)
        hour_write = perhaps("cache_write_1h_mtok", above)
        if hour_write is None and prices.cache_write_mtok is not None and by_the_hour:
            hour_write = _HOUR_WRITE_FACTOR * input_rate
        tiers.append(
            Rates(
                above,
                input_rate,
                output,
                rate("cache_read_mtok", above, input_rate),
                rate("cache_write_mtok", above, input_rate),
                rate("output_reasoning_mtok", above, output),
                hour_write,
                audio_input=perhaps("input_audio_mtok", above),
                audio_output=perhaps("output_audio_mtok", above),
                image_input=perhaps("input_image_mtok", above),
                image_output=perhaps("output_image_mtok", above),
                cached_audio=perhaps("cache_audio_read_mtok", above),
                cached_image=perhaps("cache_image_read_mtok", above),
            )
        )
    per_thousand = prices.requests_kcount
    fee = _nano(per_thousand) if isinstance(per_thousand, Decimal) else 0
    return TokenPrice(tuple(tiers), per_request=-(-fee // 1000))


def _nano(dollars: Decimal | float) -> int:
    """Whole nano-dollars, rounded up. A float is read as the decimal number it was written as."""
    exact = dollars if isinstance(dollars, Decimal) else Decimal(repr(dollars))
    return int((exact * NANO_PER_USD).to_integral_value(rounding=ROUND_CEILING))
