"""One dialect said in another: each is read into one form and written from it.

`WIRES` has them by the name that `[providers.NAME] wire` has for them.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Final

from noria.models.translation import (
    chat,
    completions,
    converse,
    gemini,
    messages,
    responses,
)
from noria.models.translation.form import AnswerReader, AnswerWriter, Event, Form

__all__ = ["READERS", "WIRES", "WRITERS", "AnswerReader", "AnswerWriter", "Event", "Form"]

WIRES: Final[dict[str, ModuleType]] = {
    "chat": chat, "messages": messages, "responses": responses, "gemini": gemini,
    "completions": completions, "converse": converse,
}  # fmt: skip
"""The functions of each dialect: `read_request`, `write_request`, `read_reply`, `write_reply`."""
READERS: Final[dict[str, Callable[[], AnswerReader]]] = {
    "chat": chat.ChatReader, "messages": messages.MessagesReader,
    "responses": responses.ResponsesReader, "gemini": gemini.GeminiReader,
    "converse": converse.ConverseReader,
}  # fmt: skip
"""What reads a stream of each."""
WRITERS: Final[dict[str, Callable[[str], AnswerWriter]]] = {
    "chat": chat.ChatWriter, "messages": messages.MessagesWriter,
    "responses": responses.ResponsesWriter, "gemini": gemini.GeminiWriter,
    "completions": completions.CompletionsWriter, "converse": converse.ConverseWriter,
}  # fmt: skip
"""What writes a stream of each."""
