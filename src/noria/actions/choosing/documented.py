"""What choosing needs of a catalogue; `noria.actions.catalogue` has the one that is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from noria.actions.operation import Offer, Operation

__all__ = ["Documented"]


class Documented(Protocol):
    """Operations that can be searched, and what can be had for a price."""

    def operations(self) -> Sequence[Operation]:
        """All of them, of those that the reader may see."""
        ...

    def search(self, words: str, k: int) -> Sequence[Operation]:
        """The operations whose documentation fits a request best, the best first."""
        ...

    def offers(self) -> Sequence[Offer]:
        """What can be had, where, and at what price."""
        ...

    def version(self, catalogue: str) -> str:
        """The content hash of a catalogue: of its documentation and its offers."""
        ...
