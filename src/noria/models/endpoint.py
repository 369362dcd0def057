"""Which calls reach a model."""

from __future__ import annotations

import enum

from noria.types import SpanKind

__all__ = ["Endpoint"]


class Endpoint(enum.Enum):
    """The calls that reach a model."""

    CHAT = ("/chat/completions", SpanKind.CHAT)
    EMBEDDINGS = ("/embeddings", SpanKind.EMBEDDING)

    def __init__(self, path: str, kind: SpanKind) -> None:
        self.path = path.encode()
        self.kind = kind
        self.is_chat = kind is SpanKind.CHAT
        """Whether it has messages, and a reply that a limit bounds."""
