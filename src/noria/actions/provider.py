"""The protocol of those who carry out calls: clouds, HTTP APIs, local commands, a simulator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from noria.actions.operation import Offer, Operation

__all__ = ["DryRun", "Provider", "ProviderError", "Resource"]


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that a call has made and that exists until it is destroyed."""

    provider: str
    id: str
    """As the provider names it."""
    kind: str
    region: str
    tags: Mapping[str, str] = field(default_factory=dict)
    """`noria:plan`, `noria:call` and `noria:key` are ours: they make an unplanned one visible."""
    state: str = "running"
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a provider says of a call that it does not carry out."""

    permitted: bool | None
    """None where the provider has no dry run."""
    message: str = ""
    """A provider's yes proves permission, not that the call would work."""


class ProviderError(Exception):
    """A provider refused a call or failed at it."""

    def __init__(
        self, code: str, message: str, *, again: bool = False, unknown: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.again = again
        """Asking again later may work (throttled, out of capacity for now)."""
        self.unknown = unknown
        """Nobody knows whether it was carried out: observe before asking again."""


class Provider(Protocol):
    """Somebody who carries out calls. Blocking; runs outside the event loop."""

    name: str

    def offers(self) -> Iterable[Offer]:
        """What can be had, where, and at what price."""
        ...

    def dry_run(self, operation: Operation, arguments: Mapping[str, Any]) -> DryRun:
        """Ask whether a call is permitted, without carrying it out."""
        ...

    def apply(self, operation: Operation, arguments: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Carry out a call. What it makes is tagged with `key`, our own idempotency key.

        Raises:
            ProviderError: it was refused, failed, or its outcome is unknown.
        """
        ...

    def observe(self, tags: Mapping[str, str]) -> list[Resource]:
        """What exists now with these tags."""
        ...

    def destroy(self, resource: Resource) -> None:
        """End a resource; one that is gone already is no error."""
        ...
