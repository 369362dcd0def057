"""What a door sends to an application's process: who calls and in which run, then the call.

One line of JSON that the door wrote itself, and after it the caller's own bytes. Nothing that a
client sends can come before the line's end, so no client says who it is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Self

import orjson

__all__ = ["CallEnvelope"]


@dataclass(frozen=True, slots=True)
class CallEnvelope:
    """One call on its way from a door to an application."""

    app: str
    key: str
    """The id of the key that calls."""
    trace: str
    """The run's trace, which the door has chosen or found to be the key's own."""
    mark: int = 0
    """The trace's high-water mark, as far as the door knows."""
    parent: str | None = None
    """The span that the run goes under."""
    conversation: str | None = None
    """The caller's name for the conversation that it goes on with."""
    function: str | None = None
    """The function that is called with a JSON object; None: the chat function, with a chat
    request."""
    variant: str | None = None
    depth: int = 0
    """How many runs of applications it is inside of."""
    stream: bool = False
    """The answer is wanted piece by piece."""
    unit: str | None = None
    """What it was drawn by, while two revisions share the calls."""

    def pack(self, body: bytes) -> bytes:
        """The visit and the caller's bytes as one."""
        return orjson.dumps(asdict(self)) + b"\n" + body

    @classmethod
    def unpack(cls, packed: bytes) -> tuple[Self, bytes]:
        """A visit and the caller's bytes."""
        line, _, body = packed.partition(b"\n")
        return cls(**orjson.loads(line)), body
