"""How long the replies of well-known models can be.

From the providers' own pages of their models. What is not here is bounded by the context window
that the price table knows, or by a setting.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["UNKNOWN_REPLY_TOKENS", "reply_limit"]

UNKNOWN_REPLY_TOKENS: Final = 16_384
"""The limit of a reply where nobody sets one and nothing is known of the model."""

_KNOWN: Final = tuple(
    (re.compile(rf"(?:^|[/.]){pattern}"), tokens)
    for pattern, tokens in (
        (r"claude-(?:opus|sonnet|fable|mythos)-(?:4-[6-9]|[5-9])", 128_000),
        (r"claude-(?:opus-4-5|sonnet-4|haiku-4|3-7)", 64_000),
        (r"claude-opus-4", 32_000),
        (r"claude-3-5", 8_192),
        (r"claude-", 4_096),
        (r"gpt-5(?:\.\d+)?-chat", 16_384),
        (r"gpt-5", 128_000),
        (r"codex-mini|o[134](?:-|$)", 100_000),
        (r"gpt-4\.1", 32_768),
        (r"(?:chat)?gpt-4o", 16_384),
        (r"gpt-(?:4|3\.5)", 4_096),
        (r"gemini-(?:2\.5|[3-9])", 65_536),
        (r"gemini-", 8_192),
        (r"deepseek-reasoner", 65_536),
        (r"deepseek-chat", 8_192),
    )
)
"""By the beginning of a model's name, the narrowest first."""


def reply_limit(model: str, context: int | None) -> int | None:
    """The most tokens that a model writes in one reply; None where nobody knows.

    Args:
        model: its name at its provider, which may begin with its maker's (`anthropic/claude-...`).
        context: tokens of its context window, where they are known.
    """
    name = model.lower()
    for pattern, tokens in _KNOWN:
        if pattern.search(name):
            return tokens
    return context
