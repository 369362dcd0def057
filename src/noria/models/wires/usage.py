"""What each wire counts where: its usage read into `Usage`, by one row of a table for each wire.

OpenAI's chat, which many servers speak in many ways, is read by `noria.models.wire.usage_of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from noria.models.wire import MOST_TOKENS, count_of
from noria.types import MediaUsage, Usage

__all__ = ["COUNTING", "Counting", "UsageTally", "read_usage"]

Path = tuple[str, ...]
"""The names of the fields that lead to a count. `name=value` is the first of a list's objects
whose field `name` has that value."""


class Counting(NamedTuple):
    """Where one wire counts what. Counts of several paths are added up."""

    source: str
    """Whose description of the wire this follows, with its version."""
    holder: str
    """The field of an answer, or of an event of a stream, that usage stands in."""
    input: tuple[Path, ...]
    """All input, with what was read from a cache and written to it. The first must be there."""
    output: tuple[Path, ...]
    """All output, with what was thought."""
    cached: tuple[Path, ...] = ()
    cache_write: tuple[Path, ...] = ()
    hour_write: tuple[Path, ...] = ()
    reasoning: tuple[Path, ...] = ()
    searches: tuple[Path, ...] = ()
    audio_input: tuple[Path, ...] = ()
    audio_output: tuple[Path, ...] = ()
    image_input: tuple[Path, ...] = ()
    image_output: tuple[Path, ...] = ()
    cached_audio: tuple[Path, ...] = ()
    cached_image: tuple[Path, ...] = ()


def _modalities(details: str, *names: str) -> tuple[Path, ...]:
    return tuple((details, f"modality={name}", "tokenCount") for name in names)


_GENAI_PRICES: Final = "genai-prices 0.2.3, usage extractor"

COUNTING: Final[Mapping[str, Counting]] = {
    "messages": Counting(
        f"{_GENAI_PRICES} anthropic:default",
        "usage",
        input=(
            ("input_tokens",), ("cache_read_input_tokens",), ("cache_creation_input_tokens",),
        ),
        output=(("output_tokens",),),
        cached=(("cache_read_input_tokens",),),
        cache_write=(("cache_creation_input_tokens",),),
        hour_write=(("cache_creation", "ephemeral_1h_input_tokens"),),
        reasoning=(("output_tokens_details", "thinking_tokens"),),
        searches=(("server_tool_use", "web_search_requests"),),
    ),
    "responses": Counting(
        f"{_GENAI_PRICES} openai:responses",
        "usage",
        input=(("input_tokens",),),
        output=(("output_tokens",),),
        cached=(("input_tokens_details", "cached_tokens"),),
        cache_write=(("input_tokens_details", "cache_write_tokens"),),
        reasoning=(("output_tokens_details", "reasoning_tokens"),),
        image_input=(("input_tokens_details", "image_tokens"),),
        image_output=(("output_tokens_details", "image_tokens"),),
    ),
    "gemini": Counting(
        f"{_GENAI_PRICES} google:default",
        "usageMetadata",
        input=(("promptTokenCount",), ("toolUsePromptTokenCount",)),
        output=(("candidatesTokenCount",), ("thoughtsTokenCount",)),
        cached=(("cachedContentTokenCount",),),
        reasoning=(("thoughtsTokenCount",),),
        audio_input=(
            *_modalities("promptTokensDetails", "AUDIO"),
            *_modalities("toolUsePromptTokensDetails", "AUDIO"),
        ),
        audio_output=_modalities("candidatesTokensDetails", "AUDIO"),
        image_input=(
            *_modalities("promptTokensDetails", "IMAGE", "DOCUMENT"),
            *_modalities("toolUsePromptTokensDetails", "IMAGE", "DOCUMENT"),
        ),
        image_output=_modalities("candidatesTokensDetails", "IMAGE", "DOCUMENT"),
        cached_audio=_modalities("cacheTokensDetails", "AUDIO"),
        cached_image=_modalities("cacheTokensDetails", "IMAGE", "DOCUMENT"),
    ),
    "converse": Counting(
        f"{_GENAI_PRICES} aws:default",
        "usage",
        input=(("inputTokens",), ("cacheReadInputTokens",), ("cacheWriteInputTokens",)),
        output=(("outputTokens",),),
        cached=(("cacheReadInputTokens",),),
        cache_write=(("cacheWriteInputTokens",),),
        hour_write=(("cacheDetails", "ttl=1h", "inputTokens"),),
    ),
}  # fmt: skip
"""By the name of the wire."""


def read_usage(wire: str, answer: Mapping[str, Any]) -> Usage | None:
    """The usage that a whole answer, or one event of a stream, reports by itself.

    Returns: None where it says nothing. Counts that cannot be true make it `absurd`.
    """
    row = COUNTING[wire]
    usage = answer.get(row.holder)
    return _read(row, usage) if isinstance(usage, dict) else None


class UsageTally:
    """The usage of a stream, whose events tell it in parts, again, or with what came before.

    Each wire's counts are of the whole answer so far: the highest of each is the last.
    """

    def __init__(self, wire: str) -> None:
        self._row = COUNTING[wire]
        self._told: dict[str, Any] = {}

    def note(self, holder: Mapping[str, Any]) -> bool:
        """Take what an event, or the answer within it, says of usage. Tells whether it does."""
        usage = holder.get(self._row.holder)
        if not isinstance(usage, dict):
            return False
        _raise_to(self._told, usage)
        return True

    @property
    def usage(self) -> Usage | None:
        """What was used so far; None where nothing was said."""
        return _read(self._row, self._told)


def _raise_to(told: dict[str, Any], usage: Mapping[str, Any]) -> None:
    for name, value in usage.items():
        known = told.get(name)
        if value is None:
            continue
        if isinstance(value, dict):
            inner = dict(known) if isinstance(known, dict) else {}
            _raise_to(inner, value)
            told[name] = inner
        elif not (
            isinstance(value, int | float) and isinstance(known, int | float) and value < known >= 0
        ):
            told[name] = value


def _read(row: Counting, usage: Mapping[str, Any]) -> Usage | None:
    if _at(usage, row.input[0]) is None:
        return None
    absurd = False

    def total(paths: tuple[Path, ...]) -> int:
        nonlocal absurd
        counted = 0
        for path in paths:
            count = count_of(_at(usage, path))
            if count is None:
                absurd = True
            else:
                counted += count
        return counted

    used, made = total(row.input), total(row.output)
    cached = min(total(row.cached), used)
    written = min(total(row.cache_write), used - cached)
    found = Usage(used, made, cached, min(total(row.reasoning), made))
    found.cache_write_tokens = written
    found.hour_write_tokens = min(total(row.hour_write), written)
    found.searches = total(row.searches)
    media = MediaUsage(
        total(row.audio_input),
        total(row.audio_output),
        total(row.image_input),
        total(row.image_output),
        total(row.cached_audio),
        total(row.cached_image),
    )
    if media != _NO_MEDIA:
        found.media = media
    return Usage(absurd=True) if absurd or max(used, made) > MOST_TOKENS else found


_NO_MEDIA: Final = MediaUsage()


def _at(usage: Any, path: Path) -> Any:
    """What a path leads to; None where it leads nowhere."""
    value = usage
    for step in path:
        if isinstance(value, list):
            name, _, wanted = step.partition("=")
            fitting = (one for one in value if isinstance(one, dict) and one.get(name) == wanted)
            value = next(fitting, None)
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value
