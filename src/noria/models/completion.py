"""What a model says, read from a chat completion or a chunk of one, whoever's dialect it is in.

Everything in noria that looks into an answer does it here: `ask`, evaluations, judges, the arena,
shadow battles, chats and records.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from noria.errors import ApiError
from noria.models.refusal import Refusal

__all__ = ["Completion", "Piece", "pieces_of", "said_in", "without_thinking", "written_in"]

_CUT: Final = frozenset(("length", "max_tokens", "model_length", "content_filter", "error"))
"""Why an answer ended before its end, in lower case."""
_PASSED_BACK: Final = (
    "reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "thinking",
)  # fmt: skip
_THINKING: Final = ("thinking", "reasoning", "reasoning_text", "redacted_thinking")
_OPEN: Final = ("<think>", "<thinking>")
_CLOSE: Final = ("</think>", "</thinking>")


@dataclass(frozen=True, slots=True)
class Completion:
    """The first answer of a chat completion."""

    text: str
    """What it says; of a refusal, its words."""
    refused: bool = False
    """The model said that it will not answer."""
    cut: bool = False
    """It ended before its end: at a limit, or at a filter."""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    """Each with an id, a name and arguments as text."""
    message: dict[str, Any] = field(default_factory=dict)
    """As it goes back to the model in a conversation that goes on, with the reasoning that some
    models want back."""

    @classmethod
    def of(cls, reply: Any) -> Completion:
        """Read a whole reply.

        Raises:
            ApiError: 502 `unusable_answer`: there is no answer in it, or the provider's error in
                its stead.
        """
        refusal = Refusal.within(reply)
        if refusal is not None:
            raise ApiError(502, refusal.code or "upstream_error", refusal.message)
        choices = reply.get("choices") if isinstance(reply, dict) else None
        choice = next(filter(_is_object, choices), None) if isinstance(choices, list) else None
        message = choice.get("message") if choice is not None else None
        if choice is None or not isinstance(message, dict):
            text = choice.get("text") if choice is not None else None
            if not isinstance(text, str):
                raise ApiError(502, "unusable_answer", "The model's reply holds no answer.")
            message = {"content": text}
        text, _ = said_in(message.get("content"))
        refused = message.get("refusal")
        if not text and isinstance(refused, str):
            text = refused
        calls = list(_calls(message))
        back: dict[str, Any] = {"role": "assistant", "content": message.get("content")}
        if calls:
            back["tool_calls"] = calls
        back |= {name: message[name] for name in _PASSED_BACK if message.get(name)}
        finish = str(choice.get("finish_reason") or "").lower() if choice else ""
        return cls(text, bool(refused), finish in _CUT, calls, back)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one chunk of a stream adds to an answer."""

    text: str = ""
    refusal: str = ""
    finish: str = ""
    """Why the answer has ended; empty while it goes on."""


def pieces_of(chunk: Any) -> Iterator[Piece]:
    """What a chunk adds to each answer. A chunk that adds nothing gives nothing."""
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        delta = choice.get("delta") or choice.get("message")
        if not isinstance(delta, dict):
            delta = {}
        text, _ = said_in(delta.get("content"))
        refusal = delta.get("refusal")
        finish = choice.get("finish_reason")
        piece = Piece(
            text,
            refusal if isinstance(refusal, str) else "",
            finish if isinstance(finish, str) else "",
        )
        if piece.text or piece.refusal or piece.finish:
            yield piece


def said_in(content: Any) -> tuple[str, str]:
    """What a content says and what was thought before: a text, or a list of parts of both."""
    if isinstance(content, str):
        return content, ""
    said, thought = [], []
    parts = content if isinstance(content, list) else [content]
    for part in parts:
        if isinstance(part, str):
            said.append(part)
        elif isinstance(part, dict):
            kind = part.get("type")
            if kind in _THINKING:
                thought.append(_text_of(part.get(kind)) or _text_of(part.get("text")))
            else:
                said.append(_text_of(part.get("text")) or _text_of(part.get("refusal")))
    return "".join(said), "".join(thought)


def written_in(message: dict[str, Any]) -> str:
    """Everything that a model has generated in a message or in a piece of one: what it says,
    thinks and refuses, and what it calls. It is what a provider charges for."""
    text = message.get("content")
    if isinstance(text, str) and text and len(message) <= 2:  # as in nearly all pieces
        return text
    found = list(said_in(text))
    found += [_text_of(message.get("reasoning_content")) or _text_of(message.get("reasoning"))]
    found += [_text_of(message.get("thinking")), _text_of(message.get("refusal"))]
    called = message.get("tool_calls")
    calls = [message.get("function_call"), *(called if isinstance(called, list) else ())]
    for call in calls:
        function = call.get("function", call) if isinstance(call, dict) else None
        if isinstance(function, dict):
            found += [_text_of(function.get("name")), _arguments(function.get("arguments"))]
    return "".join(found)


def without_thinking(text: str) -> str:
    """A text without the thoughts that some models write before it, between `<think>` and
    `</think>`. Thoughts that were never ended are all that there is."""
    begun = text.lstrip()
    for opening, closing in zip(_OPEN, _CLOSE, strict=True):
        _, closed, rest = text.rpartition(closing)
        if closed:
            return rest
        if begun.startswith(opening):
            return ""
    return text


def _calls(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The calls of tools, in the form that every server takes back."""
    calls = message.get("tool_calls")
    if not calls and isinstance(message.get("function_call"), dict):
        calls = [{"function": message["function_call"]}]
    for number, call in enumerate(calls if isinstance(calls, list) else ()):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            continue
        arguments = _arguments(function.get("arguments")) or "{}"
        yield {
            **call,
            "id": call.get("id") or f"call_{number}",
            "type": call.get("type") or "function",
            "function": {**function, "arguments": arguments},
        }


def _arguments(value: Any) -> str:
    """A call's arguments as text; some servers send the object."""
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return _text_of(value)


def _text_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "".join(said_in(value)) if isinstance(value, list | dict) else ""


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)
