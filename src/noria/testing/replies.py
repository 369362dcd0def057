"""What a fake provider is told to answer."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from noria.types import Usage

__all__ = ["Fault", "Reply", "ToolCall"]


class Fault(enum.StrEnum):
    """How an answer goes wrong."""

    REFUSE = "refuse"
    """The port is closed for as long as this is the provider's `reply`. Given for one request only
    (in a queue, by model or by a function) it is a reset."""
    RESET = "reset"
    """The connection is reset before the first byte of the answer."""
    RESET_MID_STREAM = "reset-mid-stream"
    """The connection is reset in the middle of the body."""
    STALL = "stall"
    """The request is taken and nothing comes back."""
    STALL_MID_STREAM = "stall-mid-stream"
    """The answer stops in the middle of the body, and the connection stays open."""
    MALFORMED_JSON = "malformed-json"
    """The body (in a stream: one event) is cut JSON."""
    MALFORMED_SSE = "malformed-sse"
    """The stream is not server-sent events at all; a plain answer is a page of HTML."""
    RATE_LIMITED = "rate-limited"
    """429 with `Retry-After: 1`."""
    SERVER_ERROR = "server-error"
    """500."""
    UNAUTHORIZED = "unauthorized"
    """401, as for a wrong key."""
    HUGE_BODY = "huge-body"
    """A body (in a stream: one event) of `Reply.huge_bytes`."""
    TRUNCATED = "truncated"
    """The connection closes before the promised length (in a stream: before the last chunk)."""
    NO_USAGE = "no-usage"
    """The answer is right and says nothing of usage."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the answer asks for. `arguments` as a text goes out as it is."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. With nothing set it is a short friendly text, or whatever the request's
    `response_format` or `tool_choice` asks for."""

    text: str | None = None
    chunks: Sequence[str] | int | None = None
    """The pieces of a stream, or how many of them; by default one for each token.
    A sequence is also the text."""
    delay: float = 0.0
    """Seconds between the pieces of a stream."""
    first_delay: float = 0.0
    """Seconds before the first byte."""
    usage: Usage | None = None
    """Reported (and owed) instead of the tokens that were counted."""
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: str | None = None
    status: int = 200
    """Anything else sends an error of OpenAI's shape, with `text` as its message."""
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    huge_bytes: int = 64 * 1024 * 1024

    @property
    def whole_text(self) -> str | None:
        """The text, also where it was given in pieces."""
        if self.text is None and isinstance(self.chunks, Sequence):
            return "".join(self.chunks)
        return self.text
