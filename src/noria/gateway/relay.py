"""A stream on its way through: passed on as it comes, searched for what must be known.

Whole events are looked at once: is it an event at all, does it carry usage, does an answer end
here. The usage chunk is taken out again for a caller who did not ask for it, and the end of the
stream is kept back until it stands in the journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson

from noria.models import usage_of
from noria.types import Usage

__all__ = ["Relay"]

_MOST_EVENT_BYTES = 4 * 1024 * 1024
_DONE = b"data: [DONE]\n\n"


class Relay:
    """One stream from an upstream to a caller.

    Args:
        write: takes the bytes for the caller.
        done: called once, when the stream is known to be complete or to be broken.
        wants_usage: whether the caller asked for the usage chunk.
        keep: whether the events are kept for the record.
        choices: how many answers must end.
    """

    def __init__(
        self, write: Callable[[bytes], None], done: Callable[[], None], *,
        wants_usage: bool, keep: bool, choices: int,
    ) -> None:  # fmt: skip
        self._write = write
        self._done = done
        self._wants_usage = wants_usage
        self._keep = keep
        self._unfinished = choices
        self._tail = b""
        self.kept: list[bytes] = []
        self.usage: Usage | None = None
        self.first_token_ns: int | None = None
        self.forwarded = False
        """Whether a byte has gone to the caller, after which nothing can be tried again."""
        self.pieces = 0
        """Events that carried a part of an answer; an estimate of tokens where usage is missing."""
        self.text_bytes = 0
        self.complete = False
        """The stream came to its proper end."""
        self.error: str | None = None
        """What broke it, when the upstream itself said so or sent what is no event."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes from the upstream."""
        if self.complete or self.error is not None:
            return
        if self._tail:
            data = self._tail + data
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        cut = data.rfind(b"\n\n")
        if cut < 0:
            self._tail = data
            if len(data) > _MOST_EVENT_BYTES:
                self._break("The upstream server sent an event of over 4 MiB.")
            return
        self._tail = data[cut + 2 :]
        events = data[: cut + 2]
        passed = self._look(events)
        if passed:
            if self._keep:
                self.kept.append(events)
            self.forwarded = True
            self._write(passed)
        if self.complete or self.error is not None:
            self._done()

    def end(self) -> None:
        """The upstream's answer is over. Without `[DONE]` it counts if every choice finished."""
        if self.complete or self.error is not None:
            return
        if self._unfinished <= 0:
            self.complete = True
        else:
            self.error = "The upstream server's stream ended before the answer did."

    @property
    def last_bytes(self) -> bytes:
        """What must follow once the end is in the journal."""
        return _DONE

    def _break(self, message: str) -> None:
        self.error = message
        self._done()

    def _look(self, events: bytes) -> bytes:
        """Search whole events; give what may be passed on."""
        rebuilt: list[bytes] | None = None
        parts = events[:-2].split(b"\n\n")
        for number, event in enumerate(parts):
            keep = True
            if event.startswith(b"data: {"):
                keep = self._look_at(event[6:])
            elif event.startswith(b"data:"):
                content = event[5:].strip()
                if content == b"[DONE]":
                    self.complete = True
                    keep = False
                else:
                    keep = self._look_at(content)
            elif event and not event.startswith((b":", b"event:", b"id:", b"retry:")):
                self.error = "The upstream server sent what is no event stream."
                keep = False
            elif b"\ndata:" in event:
                keep = self._look_at(event.split(b"\ndata:", 1)[1].strip())
            if not keep and rebuilt is None:
                rebuilt = parts[:number]
            elif keep and rebuilt is not None:
                rebuilt.append(event)
            if self.complete or self.error is not None:
                break
        if rebuilt is None:
            return events
        return b"\n\n".join(rebuilt) + b"\n\n" if rebuilt else b""

    def _look_at(self, text: bytes) -> bool:
        """Look at one chunk's JSON. Tells whether it may be passed on."""
        try:
            chunk: Any = orjson.loads(text)
            choices = chunk.get("choices")
        except (orjson.JSONDecodeError, AttributeError):
            self.error = "The upstream server sent an event that is not JSON."
            return False
        usage = chunk.get("usage")
        if usage:
            self.usage = usage_of(chunk)
            if not choices:
                return self._wants_usage
        if not choices:
            if "error" in chunk:
                self.error = "The upstream server failed in mid-answer."
                return False
            return True
        for choice in choices:
            delta = choice.get("delta") or {}
            text_ = delta.get("content") or delta.get("reasoning_content")
            if text_ or delta.get("tool_calls"):
                self.pieces += 1
                self.text_bytes += len(text_) if text_ else 0
                if self.first_token_ns is None:
                    self.first_token_ns = time.monotonic_ns()
            if choice.get("finish_reason"):
                self._unfinished -= 1
        return True
