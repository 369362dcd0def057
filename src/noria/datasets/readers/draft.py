"""A conversation as it was read, before it is cleaned: every turn of the source is still there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Draft", "Turn", "text_of"]


@dataclass(slots=True)
class Turn:
    """One turn of a conversation that was read."""

    role: str
    """`system`, `user`, `assistant`, `tool`, or what the source said where that is none of them."""
    content: str
    extra: dict[str, Any] = field(default_factory=dict)
    """`tool_calls`, `tool_call_id` and `name`, in OpenAI's form."""
    dropped: str | None = None
    """The reason why this turn is not kept; None while it is."""
    html: bool | None = None
    """Whether the content is HTML; None where the text has to show it."""

    def as_message(self) -> dict[str, Any]:
        """The turn in the form of a chat message."""
        return {"role": self.role, "content": self.content, **self.extra}


@dataclass(slots=True)
class Draft:
    """One conversation that was read."""

    id: str
    turns: list[Turn]
    label: object = None
    fields: dict[str, Any] = field(default_factory=dict)
    """Further fields of the row: `tools`, `owner`, `licence`, `consent`, `extra`."""
    chosen: list[Turn] | None = None
    rejected: list[Turn] | None = None
    fault: str | None = None
    """Why the conversation could not be understood."""

    def all_turns(self) -> list[Turn]:
        """Its turns, those of both sides of a preference included."""
        return [*self.turns, *(self.chosen or ()), *(self.rejected or ())]


def text_of(content: object) -> tuple[str, str | None]:
    """The text of a message's content, and why the turn cannot be kept, if it cannot.

    Content may be a text, a list of parts in OpenAI's or Anthropic's form, or None.
    """
    if content is None:
        return "", None
    if isinstance(content, str):
        return content, None
    if not isinstance(content, list):
        return "", "not_text"
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            return "\n".join(texts), "multimodal"
    return "\n".join(texts), None
