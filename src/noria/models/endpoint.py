"""Which calls reach a model, and what dialect each is made in."""

from __future__ import annotations

import enum

from noria.types import SpanKind

__all__ = ["Endpoint"]


class Endpoint(enum.Enum):
    """The calls that reach a model."""

    CHAT = ("/chat/completions", SpanKind.CHAT, "chat")
    EMBEDDINGS = ("/embeddings", SpanKind.EMBEDDING, "chat")
    COMPLETIONS = ("/completions", SpanKind.CHAT, "completions")
    RESPONSES = ("/responses", SpanKind.CHAT, "responses")
    MESSAGES = ("/messages", SpanKind.CHAT, "messages")
    GENERATE = ("/models/*:generateContent", SpanKind.CHAT, "gemini")
    RERANK = ("/rerank", SpanKind.EMBEDDING, "chat")

    def __init__(self, path: str, kind: SpanKind, wire: str) -> None:
        self.path = path.encode()
        self.kind = kind
        self.wire = wire
        """What the caller speaks, by the name that `[providers.NAME] wire` has for it."""
        self.is_chat = kind is SpanKind.CHAT
        """Whether it has messages, and a reply that a limit bounds."""
        self.answer = {"/embeddings": "data", "/rerank": "results"}.get(path, "choices")
        """The field that an answer has to this call in OpenAI's dialect."""
