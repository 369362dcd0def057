"""OpenAI's wire: what a reply says it used, and the events of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from noria.types import Usage

__all__ = ["CARRIAGE_RETURN", "LINE_FEED", "data_of", "events", "usage_of"]

CARRIAGE_RETURN: Final = 0x0D
LINE_FEED: Final = 0x0A
"""As numbers: for a piece of bytes `in` raises and forgets an exception first."""


def usage_of(reply: dict[str, Any]) -> Usage | None:
    """The usage that a reply, or the last chunk of a stream, reports; None where it says nothing.

    Providers differ in whether hidden reasoning is part of `completion_tokens`. Where the total
    is more than prompt and completion together, the rest is such reasoning and counts as output.
    """
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt: Any = usage.get("prompt_tokens")
    completion: Any = usage.get("completion_tokens")
    total: Any = usage.get("total_tokens")
    proper = type(prompt) is type(completion) is type(total) is int and prompt >= 0 <= completion
    if proper and total == prompt + completion and len(usage) == 3:
        return Usage(prompt, completion)  # All that many servers say.
    if not isinstance(prompt, int):
        return None
    if not proper:
        prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        total = _count(usage, "total_tokens")
    hidden = max(0, total - prompt - completion)
    found = Usage(prompt, completion + hidden)
    read = _details(usage, "prompt_tokens_details")
    written = _details(usage, "completion_tokens_details")
    compute = usage.get("compute_ms", 0.0)
    found.cached_tokens = _count(read, "cached_tokens") or _count(usage, "prompt_cache_hit_tokens")
    found.cache_write_tokens = _count(read, "cache_write_tokens")
    found.reasoning_tokens = max(hidden, _count(written, "reasoning_tokens"))
    found.compute_ms = float(compute) if isinstance(compute, int | float) else 0.0
    return found


def _count(table: dict[str, Any], key: str) -> int:
    value = table.get(key)
    return value if isinstance(value, int) and value > 0 else 0


def _details(usage: dict[str, Any], key: str) -> dict[str, Any]:
    value = usage.get(key)
    return value if isinstance(value, dict) else {}


def data_of(event: bytes) -> bytes:
    """The data of one event: that of all its lines of data."""
    lines = event.split(b"\n")
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))


def events(stream: bytes) -> Iterator[bytes]:
    """The data of each whole event of a server-sent stream, `[DONE]` left out.

    An event that the end of the stream cuts in two is left out as well.
    """
    if CARRIAGE_RETURN in stream:
        stream = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for block in stream.split(b"\n\n"):
        if block.startswith(b"data: ") and LINE_FEED not in block:  # as nearly all are
            data = block[6:]
        else:
            data = data_of(block)
        if data and data != b"[DONE]":
            yield data
