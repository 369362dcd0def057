"""Calls of tools one after the other, as the dialects want them that write one block at a time.

OpenAI's chat may go on with any of several calls at any time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import orjson

from noria.models.translation.form import Event

__all__ = ["CallSequence", "SequentialWriter"]


class CallSequence:
    """Puts the events of an answer in such an order that a call's arguments follow it at once.

    An event waits only where a call has begun before the arguments of the one before it are whole.
    """

    def __init__(self) -> None:
        self._at: int | None = None
        """The call that is being written."""
        self._arguments: list[str] = []
        self._waiting: list[Event] = []

    def feed(self, event: Event) -> list[Event]:
        """The events that may be written now."""
        kind = event.kind
        if kind == "arguments":
            if event.number != self._at:
                self._waiting.append(event)
                return []
            self._arguments.append(event.text)
            # A value is whole at its last brace, and nothing waits as a rule.
            return [event, *self._next()] if self._waiting and "}" in event.text else [event]
        if self._at is None and kind != "call":
            return [event]
        if kind == "usage":
            return [event]
        if kind == "stop":
            return [*self.end(), event]
        self._waiting.append(event)
        return self._next()

    def end(self) -> list[Event]:
        """What has waited, each call with its arguments."""
        found: list[Event] = []
        while self._waiting:
            self._at = None
            found += self._next()
        return found

    def _next(self) -> list[Event]:
        """What has waited for the call that is being written, if that is whole."""
        found: list[Event] = []
        while self._waiting and (self._at is None or self._is_whole()):
            event = self._waiting.pop(0)
            if event.kind == "arguments":
                continue  # They belong to a call whose arguments were whole before them.
            found.append(event)
            if event.kind != "call":
                self._at = None
                continue
            self._at = event.number
            own = [one for one in self._waiting if _belongs(one, event.number)]
            self._waiting = [one for one in self._waiting if not _belongs(one, event.number)]
            self._arguments = [one.text for one in own]
            found += own
        return found

    def _is_whole(self) -> bool:
        try:
            orjson.loads("".join(self._arguments))
        except orjson.JSONDecodeError:
            return False
        return True


def _belongs(event: Event, number: int) -> bool:
    return event.kind == "arguments" and event.number == number


class SequentialWriter(ABC):
    """Writes an answer as a stream in which one thing ends before the next begins."""

    def __init__(self) -> None:
        self._sequence = CallSequence()

    def feed(self, event: Event) -> bytes:
        """An event in the dialect; empty where that says nothing yet."""
        return b"".join(map(self._write, self._sequence.feed(event)))

    def end(self) -> bytes:
        """What ends the stream."""
        return b"".join(map(self._write, self._sequence.end())) + self._finish()

    @abstractmethod
    def _write(self, event: Event) -> bytes:
        """One event, in its place."""

    @abstractmethod
    def _finish(self) -> bytes:
        """What ends the stream once all is written."""
