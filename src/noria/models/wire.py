"""OpenAI's wire: what a reply says it used, and the events of a stream.

What is valid is read on a short way. What is not quite, as many servers send it, is read all the
same where there is one thing that it can mean.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from noria.types import MediaUsage, Usage

__all__ = [
    "BOM",
    "CARRIAGE_RETURN",
    "LINE_FEED",
    "MOST_TOKENS",
    "count_of",
    "data_of",
    "events",
    "read_json",
    "usage_of",
]

BOM: Final = b"\xef\xbb\xbf"
CARRIAGE_RETURN: Final = 0x0D
LINE_FEED: Final = 0x0A
"""As numbers: for a piece of bytes `in` raises and forgets an exception first."""

MOST_TOKENS: Final = 10**9
"""No call has used as many: a provider that says so is wrong."""
_MOST_COMPUTE_MS: Final = 1e9
# An escape of JSON: a pair of surrogates, one that stands alone (the group), or any other.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def read_json(data: bytes) -> tuple[Any, bytes]:
    """Read JSON that another program wrote.

    A mark of byte order, halves of surrogate pairs, and bytes that are no UTF-8 (a text that was
    cut between two bytes of a character) do not make it unreadable: each stands as U+FFFD.

    Returns: the value, and the bytes that it was read from, mended where they had to be.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return orjson.loads(data), data
    except orjson.JSONDecodeError:
        mended = data.removeprefix(BOM).decode("utf-8", "replace").encode()
        mended = _ESCAPE.sub(_whole_escape, mended)
        return orjson.loads(mended), mended


def _whole_escape(found: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if found[1] else found[0]


def usage_of(reply: dict[str, Any]) -> Usage | None:
    """The usage that a reply, or the last chunk of a stream, reports; None where it says nothing.

    Providers differ in whether hidden reasoning is part of `completion_tokens`. Where the total
    is more than prompt and completion together, the rest is such reasoning and counts as output.
    Figures that cannot be true make it `absurd`.
    """
    usage = reply.get("usage")
    if not isinstance(usage, dict) or not usage:
        usage = _usage_elsewhere(reply)
        if usage is None:
            return None
    prompt: Any = usage.get("prompt_tokens")
    completion: Any = usage.get("completion_tokens")
    total: Any = usage.get("total_tokens")
    proper = type(prompt) is type(completion) is type(total) is int and prompt >= 0 <= completion
    if proper and total == prompt + completion <= MOST_TOKENS and len(usage) == 3:
        return Usage(prompt, completion)  # All that many servers say.
    return _read_usage(usage)


def _usage_elsewhere(reply: dict[str, Any]) -> dict[str, Any] | None:
    """Usage that stands where only some servers put it: in a choice, or in Groq's own field."""
    choices = reply.get("choices")
    holders = [reply.get("x_groq"), *(choices if isinstance(choices, list) else ())]
    for holder in holders:
        usage = holder.get("usage") if isinstance(holder, dict) else None
        if isinstance(usage, dict) and usage:
            return usage
    return None


def _read_usage(usage: dict[str, Any]) -> Usage | None:
    given = usage.get("prompt_tokens")
    if given is None:
        given = usage.get("input_tokens")
    if given is None:
        return None
    made = usage.get("completion_tokens")
    if made is None:
        made = usage.get("output_tokens")
    prompt, completion = count_of(given), count_of(made)
    total = count_of(usage.get("total_tokens"))
    if prompt is None or completion is None or total is None:
        return Usage(absurd=True)
    hidden = max(0, total - prompt - completion)
    found = Usage(prompt, completion + hidden)
    read = _details(usage, "prompt_tokens_details")
    written = _details(usage, "completion_tokens_details")
    cached = (
        count_of(read.get("cached_tokens"))
        or count_of(usage.get("prompt_cache_hit_tokens"))
        or count_of(usage.get("cached_tokens"))
        or 0
    )
    found.cached_tokens = min(cached, prompt)
    stored = count_of(read.get("cache_write_tokens")) or 0
    found.cache_write_tokens = min(stored, prompt - found.cached_tokens)
    thought = (
        count_of(written.get("reasoning_tokens")) or count_of(usage.get("reasoning_tokens")) or 0
    )
    found.reasoning_tokens = min(max(hidden, thought), found.output_tokens)
    media = MediaUsage(
        count_of(read.get("audio_tokens")) or 0,
        count_of(written.get("audio_tokens")) or 0,
        count_of(read.get("image_tokens")) or 0,
        count_of(written.get("image_tokens")) or 0,
    )
    if media.audio_input or media.audio_output or media.image_input or media.image_output:
        found.media = media
    compute = usage.get("compute_ms")
    if isinstance(compute, int | float) and not math.isnan(compute):
        found.compute_ms = float(min(max(compute, 0), _MOST_COMPUTE_MS))
    return found


def count_of(value: Any) -> int | None:
    """A count of tokens, 0 where nothing is said; None for what can be none."""
    if value is None:
        return 0
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return math.ceil(value) if 0 <= value <= MOST_TOKENS else None


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
    for block in stream.removeprefix(BOM).split(b"\n\n"):
        if block.startswith(b"data: ") and LINE_FEED not in block:  # as nearly all are
            data = block[6:]
        else:
            data = data_of(block)
        if data and data != b"[DONE]":
            yield data
