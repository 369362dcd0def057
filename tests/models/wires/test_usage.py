"""Each row of the table of what is counted where, against an independent reader of the same wires:
the extractors of `genai-prices`."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import pytest
from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st

from noria.models.prices import listed_price
from noria.models.wires.usage import COUNTING, UsageTally, read_usage
from noria.types import MediaUsage, Usage


def modalities(**counts: int) -> list[dict[str, Any]]:
    return [{"modality": name, "tokenCount": count} for name, count in counts.items()]


ANSWERS: dict[str, tuple[dict[str, Any], Usage]] = {
    "messages": (
        {
            "model": "claude-sonnet-5",
            "usage": {
                "input_tokens": 21,
                "cache_creation_input_tokens": 700,
                "cache_read_input_tokens": 5000,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 200,
                    "ephemeral_1h_input_tokens": 500,
                },
                "output_tokens": 90,
                "output_tokens_details": {"thinking_tokens": 40},
                "server_tool_use": {"web_search_requests": 3},
                "service_tier": "standard",
            },
        },
        Usage(5721, 90, 5000, 40, 0.0, 700, 3, hour_write_tokens=500),
    ),
    "responses": (
        {
            "model": "gpt-5",
            "usage": {
                "input_tokens": 300,
                "input_tokens_details": {"cached_tokens": 128, "cache_write_tokens": 64},
                "output_tokens": 55,
                "output_tokens_details": {"reasoning_tokens": 32},
                "total_tokens": 355,
            },
        },
        Usage(300, 55, 128, 32, 0.0, 64),
    ),
    "gemini": (
        {
            "modelVersion": "gemini-2.5-flash",
            "usageMetadata": {
                "promptTokenCount": 1000,
                "promptTokensDetails": modalities(TEXT=500, AUDIO=300, IMAGE=150, DOCUMENT=50),
                "cachedContentTokenCount": 400,
                "cacheTokensDetails": modalities(TEXT=300, AUDIO=100),
                "toolUsePromptTokenCount": 20,
                "toolUsePromptTokensDetails": modalities(TEXT=20),
                "candidatesTokenCount": 60,
                "candidatesTokensDetails": modalities(TEXT=60),
                "thoughtsTokenCount": 30,
                "totalTokenCount": 1110,
            },
        },
        Usage(1020, 90, 400, 30, media=MediaUsage(300, 0, 200, 0, 100, 0)),
    ),
    "converse": (
        {
            "model": "amazon.nova-lite-v1:0",
            "usage": {
                "inputTokens": 10,
                "outputTokens": 20,
                "totalTokens": 730,
                "cacheReadInputTokens": 400,
                "cacheWriteInputTokens": 300,
                "cacheDetails": [
                    {"ttl": "1h", "inputTokens": 200},
                    {"ttl": "5m", "inputTokens": 100},
                ],
            },
        },
        Usage(710, 20, 400, 0, 0.0, 300, hour_write_tokens=200),
    ),
}
EXTRACTORS = {
    "messages": ("anthropic", "default"),
    "responses": ("openai", "responses"),
    "gemini": ("google", "default"),
    "converse": ("aws", "default"),
}


def test_every_row_is_tried() -> None:
    assert set(ANSWERS) == set(EXTRACTORS) == set(COUNTING)
    version = importlib.metadata.version("genai-prices")
    for wire, row in COUNTING.items():
        provider, flavour = EXTRACTORS[wire]
        assert row.source == f"genai-prices {version}, usage extractor {provider}:{flavour}"


@pytest.mark.parametrize("wire", COUNTING)
def test_a_row_counts_what_the_provider_bills(wire: str) -> None:
    answer, usage = ANSWERS[wire]
    assert read_usage(wire, answer) == usage
    provider, flavour = EXTRACTORS[wire]
    vendor = next(one for one in providers if one.id == provider)
    _, told = vendor.extract_usage(answer, api_flavor=flavour)
    media = usage.media or MediaUsage()
    assert (told.input_tokens, told.output_tokens) == (usage.input_tokens, usage.output_tokens)
    for name, ours in (
        ("cache_read_tokens", usage.cached_tokens),
        ("cache_write_tokens", usage.cache_write_tokens),
        ("cache_write_1h_tokens", usage.hour_write_tokens),
        ("output_reasoning_tokens", usage.reasoning_tokens),
        ("web_searches", usage.searches),
        ("input_audio_tokens", media.audio_input),
        ("input_image_tokens", media.image_input),
        ("cache_audio_read_tokens", media.cached_audio),
    ):
        assert (getattr(told, name, None) or 0) == ours, name


@pytest.mark.parametrize("wire", COUNTING)
@pytest.mark.parametrize("usage", [None, {}, [], "many"])
def test_usage_that_is_not_there_is_none(wire: str, usage: Any) -> None:
    holder = COUNTING[wire].holder
    assert read_usage(wire, {holder: usage}) is None
    assert UsageTally(wire).usage is None


@pytest.mark.parametrize("wire", COUNTING)
@pytest.mark.parametrize("count", [-1, 10**12, "many", True, {}, float("nan"), float("inf")])
def test_figures_that_cannot_be_true_are_absurd(wire: str, count: Any) -> None:
    row = COUNTING[wire]
    assert read_usage(wire, {row.holder: {row.input[0][0]: count}}) == Usage(absurd=True)


@pytest.mark.parametrize("wire", COUNTING)
def test_usage_that_is_said_twice_counts_once(wire: str) -> None:
    answer, usage = ANSWERS[wire]
    tally = UsageTally(wire)
    tally.note(answer)
    tally.note(answer)
    assert tally.usage == usage


def test_usage_that_comes_in_parts_is_whole() -> None:
    tally = UsageTally("messages")
    tally.note({"usage": {"input_tokens": 25, "cache_read_input_tokens": 100, "output_tokens": 1}})
    tally.note({"usage": {"output_tokens": 15, "input_tokens": None}})
    # Some servers of this wire say 0 of what they have said before.
    tally.note({"usage": {"output_tokens": 15, "input_tokens": 0}})
    assert tally.usage == Usage(125, 15, 100)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=10))
def test_cumulative_counts_are_not_added_up(counts: list[int]) -> None:
    tally = UsageTally("gemini")
    for count in sorted(counts):
        tally.note({"usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": count}})
    assert tally.usage == Usage(7, max(counts))


@pytest.mark.parametrize(
    ("provider", "model", "wire"),
    [
        ("anthropic", "claude-sonnet-5", "messages"),
        ("anthropic", "claude-sonnet-4-6", "messages"),
        ("openai", "gpt-5", "responses"),
        ("google", "gemini-2.5-flash", "gemini"),
    ],
)
def test_costs_are_those_of_the_price_table(provider: str, model: str, wire: str) -> None:
    from math import ceil

    from genai_prices import calc_price

    answer, usage = ANSWERS[wire]
    price, _ = listed_price(provider, model)
    assert price is not None
    vendor = next(one for one in providers if one.id == provider)
    _, told = vendor.extract_usage(answer, api_flavor=EXTRACTORS[wire][1])
    told.web_searches = None  # the hold for searches is apart from that for tokens
    dollars = calc_price(told, model, provider_id=provider).total_price
    assert price.cost(usage) == ceil(dollars * 10**9)
