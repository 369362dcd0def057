"""What every dialect says in its own way: a request, and the events of an answer.

Each dialect's module reads its JSON into this and writes its JSON from this. A whole answer is its
events without the pauses between them, so that one reading serves plain answers and streams.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from noria.errors import ApiError
from noria.types import Usage

__all__ = [
    "AnswerReader",
    "AnswerWriter",
    "Event",
    "Form",
    "Part",
    "Role",
    "Tool",
    "Turn",
    "leave_out",
    "leave_out_failures",
    "leave_out_marks",
    "refused",
]

Role = Literal["system", "user", "assistant"]
PartKind = Literal[
    "text", "image", "document", "audio", "thinking", "redacted", "call", "result", "refusal"
]
EventKind = Literal[
    "text", "thinking", "signature", "redacted", "refusal", "call", "arguments", "stop", "usage"
]
Stop = Literal["stop", "length", "calls", "filter", "sequence"]
"""Why an answer has ended."""


@dataclass(slots=True)
class Part:
    """A piece of a turn. Which fields matter follows from the kind."""

    kind: PartKind
    text: str = ""
    """Of text, thinking and a refusal, the words; of a call, its arguments as JSON."""
    data: str = ""
    """Of media, base64; of redacted thinking, what stands for it."""
    media: str = ""
    """Of media, the media type."""
    url: str = ""
    """Of media that is fetched, where it is."""
    id: str = ""
    """Of a call and of its result."""
    name: str = ""
    """Of a call, the tool; of a document, its title."""
    signature: str = ""
    """Of thinking (and of a call that thinking led to), what binds it to its maker."""
    parts: list[Part] = field(default_factory=list)
    """Of a result, what it holds."""
    failed: bool = False
    """Of a result, whether the tool failed."""
    cached: str = ""
    """For how long the prompt up to here is to be cached: `5m`, `1h`; empty for not at all."""


@dataclass(slots=True)
class Turn:
    """What one side says."""

    role: Role
    parts: list[Part]


@dataclass(slots=True)
class Tool:
    """A function that the model may ask for."""

    name: str
    description: str = ""
    schema: dict[str, Any] | None = None
    strict: bool | None = None


@dataclass(slots=True)
class Form:
    """A request. None leaves a thing to the model's server."""

    turns: list[Turn]
    tools: list[Tool] = field(default_factory=list)
    choice: str | None = None
    """`auto`, `none`, `required`, or `=NAME` for one tool."""
    parallel: bool | None = None
    """Whether several tools may be called at once."""
    limit: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: list[str] = field(default_factory=list)
    schema: dict[str, Any] | None = None
    """What JSON the answer must be; empty for any object."""
    schema_name: str = "answer"
    effort: str | None = None
    """How much is to be thought: `none`, `minimal`, `low`, `medium`, `high`."""
    stream: bool = False
    user: str | None = None
    hosted: list[str] = field(default_factory=list)
    """Tools that run at the maker's own servers, which are left out."""
    notes: list[str] = field(default_factory=list)
    """What else was left out, and why."""


class Event(NamedTuple):
    """A piece of an answer."""

    kind: EventKind
    text: str = ""
    """The piece; of `stop`, the reason."""
    number: int = 0
    """Of a call and its arguments, which call of the answer it is, from 0."""
    id: str = ""
    name: str = ""
    usage: Usage | None = None


class AnswerReader(Protocol):
    """Reads the events of one stream."""

    def feed(self, event: dict[str, Any]) -> list[Event]:
        """What an event of the dialect says."""

    def end(self) -> list[Event]:
        """What is left to be said when the stream is over."""


class AnswerWriter(Protocol):
    """Writes one answer as a stream."""

    def feed(self, event: Event) -> bytes:
        """An event in the dialect; empty where that says nothing yet."""

    def end(self) -> bytes:
        """What ends the stream."""


def leave_out(form: Form, field_name: str, value: Any, why: str) -> None:
    """Note that a field is not sent, where it was set."""
    if value is not None:
        form.notes.append(f"{field_name}: {why}")


def leave_out_marks(form: Form, why: str) -> None:
    """Note that the marks of what is to be cached are not sent, where there are any."""
    if any(part.cached for turn in form.turns for part in turn.parts):
        form.notes.append(f"cache marks: {why}")


def leave_out_failures(form: Form, why: str) -> None:
    """Note that it is not told of tools that they failed, where some did."""
    if any(part.failed for turn in form.turns for part in turn.parts):
        form.notes.append(f"failure of a tool: {why}")


def refused(field_name: str, why: str) -> ApiError:
    """The refusal of what no other dialect can say."""
    return ApiError(
        400, "cannot_be_translated", f"{field_name} cannot be sent to this model: {why}.",
        param=field_name,
    )  # fmt: skip
