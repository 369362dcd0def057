"""A stream on its way through: passed on as it comes, searched for what must be known.

Whole events are looked at once: is it an event at all, does it carry usage, does the stream end
here. What came together is passed on together. The usage chunk is taken out again for a caller who
did not ask for it, and the end of the stream is kept back until it stands in the journal.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import orjson

from noria.errors import ApiError
from noria.gateway.stream_scan import plain_delta_prefix
from noria.models import usage_of
from noria.models.completion import written_in
from noria.models.refusal import Refusal
from noria.models.wire import BOM, CARRIAGE_RETURN, LINE_FEED, data_of, read_json
from noria.models.wire import events as data_of_events
from noria.types import Usage

__all__ = ["StreamRelay", "StreamTranslation", "Written"]

_MOST_EVENT_BYTES: Final = 4 * 1024 * 1024
_DONE: Final = b"data: [DONE]\n\n"
_DONE_TEXTS: Final = (b"[DONE]", b'"[DONE]"')
_OTHER_LINES: Final = (b":", b"event:", b"id:", b"retry:")
_FIELDS: Final = re.compile(rb"(?:[A-Za-z][\w.-]*(?::[^\n]*)?(?:\n|$))+")
"""Lines that are fields, whatever their names."""


class StreamTranslation(Protocol):
    """Says a stream in another dialect as it comes."""

    def feed(self, events: bytes) -> bytes:
        """Whole events in the caller's dialect."""

    def end(self, events: bytes) -> bytes:
        """The last events, and what ends a stream in the caller's dialect."""

    def broken(self, error: ApiError) -> bytes:
        """What a caller in mid-stream is told when the rest will not come."""


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
        self._after_return = False
        """Whether the last byte was a carriage return, so that a line feed ends no further line."""
        self._mended = b""
        """The event that was looked at last, where it could not go on as it came."""
        self._broken_at = 0
        """Where in the piece that came last the event stood that broke it."""
        self._rest = b""
        """The last event, of a stream that ended without a blank line."""
        self.kept: list[bytes] = []
        """The events, as they came."""
        self.usage: Usage | None = None
        self.first_token_ns: int | None = None
        self.over = False
        """Whether nothing more is read of it."""
        self.error: str | None = None
        """What broke it, when the upstream itself said so or sent what is no event."""
        self.refusal: Refusal | None = None
        """The upstream's own words, where it said so."""
        self.into: StreamTranslation | None = None
        """What says it in the caller's dialect, where that is another."""
        self._counted = self._most_tokens = 0

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
        if self._after_return or CARRIAGE_RETURN in data:
            data = self._unix_lines(data)
        if self._tail:
            data = self._tail + data
        end = data.rfind(b"\n\n") + 2
        if end < 2:
            self._tail = data
            if len(data) > _MOST_EVENT_BYTES:
                self._break("The upstream server sent an event of over 4 MiB.")
            return b""
        self._tail = data[end:]
        events = data[:end]
        if not self.kept and events.startswith(BOM):
            events = events[len(BOM) :]
        passed = self._look(events)
        self.kept.append(events if self.error is None else events[: self._broken_at])
        return passed if self.into is None else self.into.feed(passed)

    def end(self) -> None:
        """The upstream's answer is over. Without `[DONE]` it counts if every choice finished."""
        if self.over:
            return
        if self._tail.strip():
            # Some servers leave the last blank line out. An event that was cut is none.
            last = self._tail.rstrip() + b"\n\n"
            self._tail = b""
            try:
                read_json(data_of(last).strip())
            except ValueError:
                last = last if data_of(last).strip() in _DONE_TEXTS else b""
            self._rest = self._look(last)
            self.kept.append(last)
            if self.over:
                return
        self.over = True
        if len(self.written().finished) < self._choices:
            self.error = "The upstream server's stream ended before the answer did."

    @property
    def last_bytes(self) -> bytes:
        """The `[DONE]` event, sent after the end record is durable, with what came beside it."""
        return self._rest + _DONE if self.into is None else self.into.end(self._rest)

    def _unix_lines(self, data: bytes) -> bytes:
        """The same with lines that end as most do: CRLF and CR end lines too."""
        if self._after_return and data.startswith(b"\n"):
            data = data[1:]
        self._after_return = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def cut(self) -> bytes:
        """End it here, as a provider does at the limit. Gives what is to go to the caller."""
        written = self.written()
        self.over = True
        chunk = {
            **written.head,
            "choices": [
                {"index": index, "delta": {}, "finish_reason": "length"}
                for index in range(self._choices)
                if index not in written.finished
            ],
        }
        last = b"data: %b\n\n" % orjson.dumps(chunk)
        self.kept.append(last)
        return last if self.into is None else self.into.feed(last)

    def broken(self, error: ApiError) -> bytes:
        """What a caller in mid-stream is told when the rest will not come."""
        if self.into is not None:
            return self.into.broken(error)
        return b"data: %b\n\n" % orjson.dumps(error.body())

    def most_tokens(self) -> int:
        """The most tokens that can have been written so far: each has at least a byte."""
        fresh, self._counted = self.kept[self._counted :], len(self.kept)
        self._most_tokens += Written.of(fresh).text_bytes
        return self._most_tokens

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
                if self._passes(event.strip(b"\n")):
                    passed.append(self._mended or event)
                elif self.error is not None:
                    self._broken_at = at
            at = end
        return b"".join(passed)

    def _passes(self, event: bytes) -> bool:
        """Look at one event closely. Tells whether it may be passed on."""
        self._mended = b""
        if LINE_FEED not in event and event.startswith(b"data:"):  # as nearly all are
            text = event[5:].strip()
        elif not event.startswith(b"data:") and b"\ndata:" not in event:
            if not event or event.startswith(_OTHER_LINES):
                return True  # Comments and the like go on.
            if _FIELDS.fullmatch(event) is None or b"{" in event:
                self._break("The upstream server sent what is no event stream.")
            return False  # Fields that nobody knows are to be ignored.
        else:
            text = data_of(event).strip()
        if not text:
            return False
        if text in _DONE_TEXTS:
            self.over = True
            return False
        try:
            chunk, read = read_json(text)
        except ValueError:
            self._break("The upstream server sent an event that is not JSON.")
            return False
        self._mended = b"" if read is text else b"data: %b\n\n" % read.replace(b"\n", b" ")
        refusal = Refusal.within(chunk)
        if refusal is not None:
            self.refusal = refusal
            self._break("The upstream server failed in mid-answer.")
            return False
        if isinstance(chunk, dict):
            return self._notes(chunk)
        if chunk is not None:
            self._break("The upstream server sent an event that is no JSON object.")
        return False

    def _notes(self, chunk: dict[str, Any]) -> bool:
        """Take what must be known from a chunk. Tells whether it may be passed on."""
        choices = chunk.get("choices")
        usage = usage_of(chunk)
        if usage is not None:
            self.usage = usage
            if not choices:
                return self._wants_usage
        if not isinstance(choices, list):
            return True
        if self.first_token_ns is None and any(map(_carries, choices)):
            self.first_token_ns = time.monotonic_ns()
        return True


@dataclass(slots=True)
class Written:
    """What a stream has given so far, for an estimate of tokens where usage is missing."""

    pieces: int = 0
    """Events that carried a part of an answer."""
    text_bytes: int = 0
    finished: set[int] = field(default_factory=set)
    """The indices of the choices that came to their end."""
    head: dict[str, Any] = field(default_factory=dict)
    """What each event says beside its choices."""

    @classmethod
    def of(cls, events: Iterable[bytes]) -> Written:
        """Read it from the events, as they came."""
        written = cls()
        for data in data_of_events(b"".join(events)):
            try:
                chunk, _ = read_json(data)
            except ValueError:
                continue
            choices = chunk.get("choices") if isinstance(chunk, dict) else None
            for place, choice in enumerate(choices if isinstance(choices, list) else ()):
                text = _generated(choice)
                written.pieces += bool(text)
                written.text_bytes += len(text.encode("utf-8", "replace"))
                if isinstance(choice, dict) and choice.get("finish_reason"):
                    index = choice.get("index")
                    written.finished.add(index if isinstance(index, int) else place)
            if choices and not written.head:
                written.head = {
                    name: value for name, value in chunk.items() if name not in ("choices", "usage")
                }
        return written


def _carries(choice: Any) -> bool:
    """Whether a part of an answer is in it."""
    return bool(_generated(choice))


def _generated(choice: Any) -> str:
    """What a choice of a chunk adds to an answer."""
    if not isinstance(choice, dict):
        return ""
    delta = choice.get("delta")
    if isinstance(delta, dict):
        return written_in(delta)
    text = choice.get("text")  # as in a legacy completion
    return text if isinstance(text, str) else ""
