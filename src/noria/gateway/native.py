"""Answers in other dialects than OpenAI's chat, on their way to a caller of the same dialect.

They pass as they come. What is read of them is what must be known: what was used, how much was
written, whether the answer is whole, whether the provider failed in it. A dialect is a table entry
here; whatever else it says is its caller's to understand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from noria.errors import ApiError
from noria.gateway.dialects import error_event
from noria.gateway.stream import StreamRelay, Written
from noria.models.refusal import Refusal
from noria.models.wire import data_of, read_json
from noria.models.wires.usage import UsageTally, read_usage
from noria.types import Usage

__all__ = ["NATIVE", "NativeRelay", "NativeWire"]

_SHOWN_OF_THINKING: Final = 4
"""Tokens of thinking for each byte that is shown of it, where a provider may show a summary."""


# Anthropic's Messages


def _messages_event(relay: NativeRelay, event: dict[str, Any]) -> None:
    match event.get("type"):
        case "message_start":
            message = event.get("message")
            if isinstance(message, dict):
                relay.head = message
                relay.tally(message)
        case "message_delta":
            relay.tally(event)
        case "content_block_start":
            block = event.get("content_block")
            relay.block = event.get("index") if isinstance(event.get("index"), int) else None
            if isinstance(block, dict):
                relay.wrote(str(block.get("name") or "") + str(block.get("text") or ""))
        case "content_block_stop":
            relay.block = None
        case "content_block_delta":
            delta = event.get("delta")
            if isinstance(delta, dict):
                thought = delta.get("thinking")
                if isinstance(thought, str):
                    relay.wrote(thought, _SHOWN_OF_THINKING)
                relay.wrote(delta.get("text") or delta.get("partial_json") or "")
        case "message_stop":
            relay.finish()


def _messages_cut(relay: NativeRelay) -> list[tuple[str, dict[str, Any]]]:
    delta = {"stop_reason": "max_tokens", "stop_sequence": None}
    usage = {"output_tokens": max(1, relay.written().text_bytes // 4)}
    ended = [("content_block_stop", {"index": relay.block})] if relay.block is not None else []
    return [*ended, ("message_delta", {"delta": delta, "usage": usage}), ("message_stop", {})]


# OpenAI's Responses


def _responses_searches(reply: dict[str, Any]) -> int:
    """How often it has searched the web, which Responses has no count of."""
    output = reply.get("output")
    return sum(
        isinstance(item, dict) and item.get("type") == "web_search_call"
        for item in (output if isinstance(output, list) else ())
    )


def _responses_event(relay: NativeRelay, event: dict[str, Any]) -> None:
    kind = event.get("type")
    response = event.get("response")
    number = event.get("sequence_number")
    if isinstance(number, int):
        relay.number = number
    if isinstance(response, dict):
        relay.head = response
        relay.tally(response)
        if relay.usage is not None:
            relay.usage.searches = _responses_searches(response)
    if kind in ("response.completed", "response.incomplete"):
        relay.finish()
    elif kind == "response.failed":
        told = response.get("error") if isinstance(response, dict) else None
        relay.fails(Refusal.within({"error": told or {"message": "The provider failed."}}))
    elif isinstance(kind, str) and kind.endswith(".delta") and isinstance(event.get("delta"), str):
        relay.wrote(event["delta"])


def _responses_cut(relay: NativeRelay) -> list[tuple[str, dict[str, Any]]]:
    response = {
        **relay.head,
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
    }
    number = relay.number + 1
    return [("response.incomplete", {"response": response, "sequence_number": number})]


# Google's generateContent


def _gemini_event(relay: NativeRelay, event: dict[str, Any]) -> None:
    relay.tally(event)
    relay.head = event
    if isinstance(event.get("promptFeedback"), dict) and not event.get("candidates"):
        relay.ends = True
    candidates = event.get("candidates")
    for candidate in candidates if isinstance(candidates, list) else ():
        content = candidate.get("content") if isinstance(candidate, dict) else None
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                called = part.get("functionCall")
                relay.wrote(orjson.dumps(called).decode() if called else part.get("text") or "")
        if isinstance(candidate, dict) and candidate.get("finishReason"):
            relay.ends = True


def _gemini_cut(relay: NativeRelay) -> list[tuple[str, dict[str, Any]]]:
    candidate = {"content": {"role": "model", "parts": []}, "finishReason": "MAX_TOKENS"}
    return [("", {"candidates": [candidate | {"index": 0}]})]


@dataclass(frozen=True, slots=True)
class NativeWire:
    """How one dialect is read."""

    name: str
    answer: str
    """The field that a whole answer has."""
    event: Callable[[NativeRelay, dict[str, Any]], None]
    """Takes notice of an event of a stream."""
    cut: Callable[[NativeRelay], list[tuple[str, dict[str, Any]]]]
    """The events with which a stream ends at its limit."""

    def usage(self, reply: dict[str, Any]) -> Usage | None:
        """What a whole answer has used."""
        usage = read_usage(self.name, reply)
        if usage is not None and self.name == "responses":
            usage.searches = _responses_searches(reply)
        return usage

    def is_whole(self, reply: dict[str, Any]) -> bool:
        """Whether an answer without that field is one all the same: Gemini says so of a prompt
        that it does not answer."""
        return isinstance(reply.get("promptFeedback"), dict)


NATIVE: Final = {
    "messages": NativeWire("messages", "content", _messages_event, _messages_cut),
    "responses": NativeWire("responses", "output", _responses_event, _responses_cut),
    "gemini": NativeWire("gemini", "candidates", _gemini_event, _gemini_cut),
}
"""The dialects that pass as they come, by the name that `[providers.NAME] wire` has for them."""


class NativeRelay(StreamRelay):
    """One stream of such a dialect.

    Args:
        name: the dialect.
    """

    def __init__(self, name: str) -> None:
        super().__init__(wants_usage=True, choices=1)
        self._name = name
        self._wire = NATIVE[name]
        self._counts = UsageTally(name)
        self._held = b""
        """What follows the end of an answer that only the end of the stream makes whole."""
        self._pieces = self._text_bytes = 0
        self.head: dict[str, Any] = {}
        """What the answer says of itself."""
        self.number = 0
        """Of the last event, where they are counted."""
        self.block: int | None = None
        """The index of the block that is being written."""
        self.ends = False
        """Whether the answer has come to its end, and only more about it can follow."""

    # What a wire's reader says of the stream

    def tally(self, holder: dict[str, Any]) -> None:
        """Take what an event, or the answer within it, says of usage."""
        if self._counts.note(holder):
            self.usage = self._counts.usage

    def wrote(self, text: Any, tokens: int = 1) -> None:
        """A part of the answer has come: at most so many tokens for each byte."""
        if isinstance(text, str) and text:
            self._pieces += 1
            length = len(text.encode("utf-8", "replace"))
            self._text_bytes += length
            self._most_tokens += length * tokens
            if self.first_token_ns is None:
                self.first_token_ns = time.monotonic_ns()

    def finish(self) -> None:
        """The stream has come to its proper end."""
        self.over = True

    def fails(self, refusal: Refusal | None) -> None:
        """The provider says that it has failed."""
        self.refusal = refusal
        self._break("The upstream server failed in mid-answer.")

    # As a stream of chat is relayed

    def _look(self, events: bytes) -> bytes:
        passed = []
        for event in _blocks(events):
            if self.over:
                break
            data = data_of(event.strip(b"\n")).strip()
            if data and data != b"[DONE]":
                try:
                    value, _ = read_json(data)
                except ValueError:
                    self._break("The upstream server sent an event that is not JSON.")
                    break
                if isinstance(value, dict):
                    refusal = Refusal.within(value)
                    if refusal is not None:
                        self.fails(refusal)
                        break
                    self._wire.event(self, value)
                    if self.error is not None:
                        break
            if self.ends:
                self._held += event
            else:
                passed.append(event)
        return b"".join(passed)

    def end(self) -> None:
        if self.over:
            return
        if self._tail.strip():
            last, self._tail = self._tail.rstrip() + b"\n\n", b""
            self._rest = self._look(last)
            self.kept.append(last)
            if self.over:
                return
        self.over = True
        if not self.ends:
            self.error = "The upstream server's stream ended before the answer did."

    @property
    def last_bytes(self) -> bytes:
        last = self._held + self._rest
        return last if self.into is None else self.into.end(last)

    def cut(self) -> bytes:
        self.over = True
        last = b"".join(
            (b"event: %b\n" % name.encode() if name else b"")
            + b"data: %b\n\n" % orjson.dumps(({"type": name} if name else {}) | event)
            for name, event in self._wire.cut(self)
        )
        self.kept.append(last)
        return last if self.into is None else self.into.feed(last)

    def broken(self, error: ApiError) -> bytes:
        return error_event(self._name, error) if self.into is None else self.into.broken(error)

    def most_tokens(self) -> int:
        return self._most_tokens

    def written(self) -> Written:
        return Written(self._pieces, self._text_bytes, {0} if self.ends or self.over else set())


def _blocks(events: bytes) -> Iterator[bytes]:
    """Whole events, each with the blank line that ends it."""
    at = 0
    while at < len(events):
        blank = events.find(b"\n\n", at)
        end = blank + 2 if blank >= 0 else len(events)
        yield events[at:end]
        at = end
