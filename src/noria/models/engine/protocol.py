"""What every engine can do, whatever library it stands on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from noria.models.catalogue import Capabilities

__all__ = ["Emit", "Engine", "Health"]

Emit = Callable[[dict[str, Any]], bool]
"""Takes one chunk of an answer and says whether to stop generating."""


@dataclass(frozen=True, slots=True)
class Health:
    """How an engine does."""

    ready: bool
    busy: int
    """Calls that are being answered or wait for their turn."""


class Engine(Protocol):
    """One loaded model. Requests and answers are OpenAI's JSON objects.

    The methods block and may be called from many threads at once; the engine batches them.
    A request that cannot be answered raises `ApiError`, before the first chunk is emitted.
    """

    name: str
    capabilities: Capabilities

    def chat(self, request: dict[str, Any], stopped: Callable[[], bool]) -> dict[str, Any]:
        """Answer with one `chat.completion`; gives up soon after `stopped` says so."""

    def stream(self, request: dict[str, Any], emit: Emit) -> None:
        """Answer in `chat.completion.chunk`s. The last one carries `usage`, with the engine's
        busy time as `compute_ms`, whether it was asked for or not."""

    def embed(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer with a `list` of embeddings."""

    def health(self) -> Health:
        """Say how it does, at once."""
