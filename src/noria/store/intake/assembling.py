"""What the intake is given to read recorded bodies with: the store itself knows no dialect."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Assemble"]


class Assemble(Protocol):
    """Makes one body in OpenAI's chat of what was recorded. `noria.models.assemble` does."""

    def __call__(self, body: bytes, wire: str = "chat", part: str = "stream") -> bytes:
        """A whole request or answer (JSON).

        Args:
            body: as it was recorded.
            wire: its dialect, by the name that `[providers.NAME] wire` has for it.
            part: `request`, `reply`, or `stream` for the events of an answer.

        Raises:
            ValueError: it cannot be read.
        """
