"""A stream on its way through: passed on as it comes, searched for what must be known.

Whole events are looked at once: is it an event at all, does it carry usage, does the stream end
here. What came together is passed on together. The usage chunk is taken out again for a caller who
did not ask for it, and the end of the stream is kept back until it stands in the journal.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from noria.gateway.stream_scan import plain_delta_prefix
from noria.models import usage_of
from noria.models.wire import CARRIAGE_RETURN, LINE_FEED, data_of
from noria.models.wire import events as data_of_events
from noria.types import Usage

__all__ = ["StreamRelay", "Written"]

_MOST_EVENT_BYTES: Final = 4 * 1024 * 1024
_DONE: Final = b"data: [DONE]\n\n"
_OTHER_LINES: Final = (b":", b"event:", b"id:", b"retry:")
_loads: Final = orjson.loads


class StreamRelay:
    """One stream from an upstream to a caller.

    Args:
        wants_usage: whether the caller asked for the usage chunk.
        choices: how many answers must end.
    """

    def __init__(self, *, wants_usage: bool, choices: int) -> None:
        self._wants_usage = wants_usage
        self._choices = choices
        self._tail = b""
        self.kept: list[bytes] = []
        """The events, as they came."""
        self.usage: Usage | None = None
        self.first_token_ns: int | None = None
        self.over = False
        """Whether nothing more is read of it."""
        self.error: str | None = None
        """What broke it, when the upstream itself said so or sent what is no event."""

    @property
    def complete(self) -> bool:
        """Whether the stream came to its proper end."""
        return self.over and self.error is None

    def _break(self, error: str) -> None:
        self.over, self.error = True, error

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes from the upstream. Gives what is to go to the caller."""
        if self.over:
            return b""
        if self._tail:
            data = self._tail + data
        if CARRIAGE_RETURN in data:
            data = data.replace(b"\r\n", b"\n")
        end = data.rfind(b"\n\n") + 2
        if end < 2:
            self._tail = data
            if len(data) > _MOST_EVENT_BYTES:
                self._break("The upstream server sent an event of over 4 MiB.")
            return b""
        self._tail = data[end:]
        events = data[:end]
        passed = self._look(events)
        self.kept.append(events if self.error is None else passed)
        return passed

    def end(self) -> None:
        """The upstream's answer is over. Without `[DONE]` it counts if every choice finished."""
        if self.over:
            return
        self.over = True
        if self.written().finished < self._choices:
            self.error = "The upstream server's stream ended before the answer did."

    @property
    def last_bytes(self) -> bytes:
        """The `[DONE]` event, sent after the end record is durable."""
        return _DONE

    def written(self) -> Written:
        """What the stream has given so far."""
        return Written.of(self.kept)

    def _look(self, events: bytes) -> bytes:
        """Search whole events; give what may be passed on."""
        at, together = 0, False
        passed = []
        while at < len(events) and not self.over:
            if self.first_token_ns is not None and not together:
                end = at + plain_delta_prefix(events[at:])
                passed.append(events[at:end])
                together = True  # Once: what can be read so was nearly all of it.
            else:
                blank = events.find(b"\n\n", at)
                end = blank + 2 if blank >= 0 else len(events)
                event = events[at:end]
                if self._passes(event.rstrip(b"\n")):
                    passed.append(event)
            at = end
        return b"".join(passed)

    def _passes(self, event: bytes) -> bool:
        """Look at one event closely. Tells whether it may be passed on."""
        if LINE_FEED not in event and event.startswith(b"data:"):  # as nearly all are
            text = event[5:].strip()
        elif event and not event.startswith((b"data:", *_OTHER_LINES)):
            self._break("The upstream server sent what is no event stream.")
            return False
        elif not event.startswith(b"data:") and b"\ndata:" not in event:
            return True
        else:
            text = data_of(event).strip()
        if text == b"[DONE]":
            self.over = True
            return False
        try:
            chunk: Any = _loads(text)
            choices = chunk.get("choices")
        except (orjson.JSONDecodeError, AttributeError):
            self._break("The upstream server sent an event that is not JSON.")
            return False
        if chunk.get("usage"):
            self.usage = usage_of(chunk)
            if not choices:
                return self._wants_usage
        if not choices and "error" in chunk:
            self._break("The upstream server failed in mid-answer.")
            return False
        if self.first_token_ns is None and any(map(_carries, choices or ())):
            self.first_token_ns = time.monotonic_ns()
        return True


@dataclass(slots=True)
class Written:
    """What a stream has given so far, for an estimate of tokens where usage is missing."""

    pieces: int = 0
    """Events that carried a part of an answer."""
    text_bytes: int = 0
    finished: int = 0
    """Choices that came to their end."""

    @classmethod
    def of(cls, events: Iterable[bytes]) -> Written:
        """Read it from the events, as they came."""
        written = cls()
        for data in data_of_events(b"".join(events)):
            for choice in _loads(data).get("choices") or ():
                written.pieces += _carries(choice)
                written.text_bytes += len(_text(_delta(choice)))
                written.finished += bool(isinstance(choice, dict) and choice.get("finish_reason"))
        return written


def _carries(choice: Any) -> bool:
    """Whether a part of an answer is in it."""
    delta = _delta(choice)
    return bool(_text(delta) or delta.get("tool_calls"))


def _text(delta: dict[str, Any]) -> str:
    text = delta.get("content") or delta.get("reasoning_content")
    return text if isinstance(text, str) else ""


def _delta(choice: Any) -> dict[str, Any]:
    delta = choice.get("delta") if isinstance(choice, dict) else None
    return delta if isinstance(delta, dict) else {}
