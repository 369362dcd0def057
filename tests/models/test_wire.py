"""OpenAI's wire: usage in every dialect."""

from __future__ import annotations

from typing import Any

import pytest

from noria.models.wire import usage_of
from noria.types import Usage


def test_usage_with_details() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 7,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
        "compute_ms": 12.5,
    }
    assert usage_of({"usage": usage}) == Usage(10, 7, 4, 3, 12.5, 2)


def test_reasoning_that_only_the_total_shows_is_output() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 45}
    assert usage_of({"usage": usage}) == Usage(10, 35, 0, 30)


@pytest.mark.parametrize(
    "reply",
    [{}, {"usage": None}, {"usage": []}, {"usage": {}}, {"usage": {"total_tokens": 3}}],
)
def test_usage_that_is_not_there_is_none(reply: dict[str, Any]) -> None:
    assert usage_of(reply) is None
