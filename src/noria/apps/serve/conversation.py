"""What a chat function is asked, and the conversation that the server keeps of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from noria.errors import ApiError, StoreUnavailable
from noria.store import Database
from noria.tracing import Trace, TraceLabels

__all__ = ["ConversationState", "read_chat", "refuse_options"]

_FOR_MODELS = ("tools", "tool_choice", "functions", "response_format", "logprobs", "audio")
"""What a caller may ask of a model and an application has its own mind about."""

_INSTRUCT = ("system", "developer")
_ROLES = (*_INSTRUCT, "user", "assistant")


def read_chat(messages: list[dict[str, Any]]) -> tuple[str, list[dict[str, str]]]:
    """The question of a chat, and what was said before it. The question is the last user message;
    where instructions are all that was sent, it is those.

    Raises:
        ApiError: 400, with the field that cannot be used.
    """
    asked = [n for n, message in enumerate(messages) if message["role"] == "user"]
    asked = asked or [n for n, message in enumerate(messages) if message["role"] in _INSTRUCT]
    if not asked:
        raise _unusable("messages", "there is no message with the role user, so nothing is asked")
    last = asked[-1]
    question = _text(messages[last].get("content"), last)
    history = [
        {"role": message["role"], "content": _text(message.get("content"), number)}
        for number, message in enumerate(messages[:last])
        if message["role"] in _ROLES
    ]
    return question, history


def refuse_options(fields: dict[str, Any]) -> None:
    """Check that a chat asks nothing of an application that it would not do: it chooses its own
    tools, and the form of its answer is its function's.

    Raises:
        ApiError: 400, with the field.
    """
    for name in _FOR_MODELS:
        value = fields.get(name)
        if value and value not in ("none", "auto") and value != {"type": "text"}:
            raise _unusable(name, "an application has its own; leave it out, or ask a model")
    if (fields.get("n") or 1) > 1:
        raise _unusable("n", "an application gives one answer")


def _text(content: Any, number: int) -> str:
    """The text of a message, which may come in parts."""
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if not isinstance(text, str):
            raise _unusable(f"messages[{number}].content", "an application takes text alone")
        texts.append(text)
    return "".join(texts)


def _unusable(field: str, why: str) -> ApiError:
    return ApiError(400, "invalid_value", f"{field} cannot be used: {why}.", param=field)


@dataclass(slots=True)
class ConversationState:
    """A conversation that goes on. Without a name it is the caller's to keep, and nothing is kept
    here."""

    db: Database
    labels: TraceLabels
    trace: Trace
    app: str
    name: str | None
    history: list[dict[str, str]] = field(default_factory=list)
    """What was said before."""

    async def begin(self, said: Sequence[dict[str, str]] = ()) -> None:
        """Find out what was said before: by the conversation that is kept, else by the caller.
        The run's mark begins where the conversation's stands.

        Raises:
            ApiError: 503 when the store does not answer.
        """
        from noria.store.traces.conversations import find_conversation

        if self.name is None:
            self.history = list(said)
            return
        found = await self._ask(find_conversation, self.trace.key.id, self.name)
        if found is None:
            return
        await self.labels.raise_to(self.trace, found.label)
        for turn in found.turns:
            self.history.append({"role": "user", "content": turn.question})
            self.history.append({"role": "assistant", "content": turn.answer})

    async def end(self, question: str, answer: str) -> None:
        """Keep what was asked and answered, and the highest label of what was read for it.

        Raises:
            ApiError: 503 when the store does not answer.
        """
        from noria.store.traces.conversations import add_turn

        if self.name is None:
            return
        label = await self.labels.current(self.trace)
        await self._ask(
            add_turn,
            self.trace.key.id,
            self.name,
            app=self.app,
            label=label,
            trace_id=self.trace.id,
            question=question,
            answer=answer,
        )

    async def _ask(self, asked: Any, /, *arguments: Any, **keywords: Any) -> Any:
        try:
            return await asyncio.to_thread(asked, self.db, *arguments, **keywords)
        except StoreUnavailable as away:
            raise ApiError(
                503, "store_unavailable",
                f"The conversation cannot be kept: {away.message}", retry_after=2,
            ) from None  # fmt: skip
