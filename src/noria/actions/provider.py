"""The protocol of those who carry out calls: clouds, HTTP APIs, local commands, a simulator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from noria.actions.operation import Offer, Operation

__all__ = ["DryRun", "Key", "Metering", "Provider", "ProviderError", "Resource", "Traits"]


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
    """Where the provider knows them: `price_hour_nano`, and `begun_ns` and `ended_ns` by its own
    clock, `instance_type`."""

    @property
    def lives(self) -> bool:
        """Whether it has not ended. What has ended may be shown for a while."""
        return self.state not in ("terminated", "ended", "deleted")


@dataclass(frozen=True, slots=True)
class Key:
    """Our own idempotency key: of one call of one plan. Its text goes where a key is wanted."""

    plan: str
    call: int

    def __str__(self) -> str:
        return f"{self.plan}/{self.call}"

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read a key's text.

        Raises:
            ValueError: it is none of ours.
        """
        plan, slash, call = text.rpartition("/")
        if not slash or not call.isdigit():
            raise ValueError(f"{text!r} is not PLAN/CALL")
        return cls(plan, int(call))

    @property
    def tags(self) -> dict[str, str]:
        """What every resource that the call makes is tagged with."""
        return {"noria:plan": self.plan, "noria:call": str(self.call), "noria:key": str(self)}


@dataclass(frozen=True, slots=True)
class Metering:
    """How a provider counts the time of what runs."""

    step_s: int = 1
    """It counts in whole steps, the last one up."""
    least_s: int = 0
    """The least that is counted."""

    def cost(self, price_hour_nano: int, nanoseconds: int) -> int:
        """What so much time costs, in nano-dollars, rounded up."""
        step = self.step_s * 1_000_000_000
        seconds = max(self.least_s, -(-max(0, nanoseconds) // step) * self.step_s)
        return -(-price_hour_nano * seconds // 3600)


@dataclass(frozen=True, slots=True)
class Traits:
    """What one must know of a provider to rely on what it says."""

    consistency_s: float = 0.0
    """How long after a call it may not show yet what the call made."""
    metering: Metering = Metering()
    tags: bool = True
    """Whether what a call makes carries our key. Without it, nobody can find out whether a call
    whose answer was lost was carried out."""


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
    traits: Traits

    def offers(self) -> Iterable[Offer]:
        """What can be had, where, and at what price."""
        ...

    def offer(self, region: str, instance_type: str) -> Offer | None:
        """One offer as it is at this moment; None where it is not to be had. Its price is None
        where the provider does not tell."""
        ...

    def dry_run(self, operation: Operation, arguments: Mapping[str, Any]) -> DryRun:
        """Ask whether a call is permitted, without carrying it out."""
        ...

    def apply(self, operation: Operation, arguments: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Carry out a call. What it makes is tagged with `key`, the text of a `Key`, which is all
        that is relied on: providers' own idempotency keys may be ignored. Where the result names
        what was made, it does in `resources`: a list of objects with an `id`.

        Raises:
            ProviderError: it was refused, failed, or its outcome is unknown.
        """
        ...

    def observe(self, tags: Mapping[str, str]) -> list[Resource]:
        """What exists now with these tags, and what with these tags has ended lately."""
        ...

    def result_of(self, operation: Operation, resources: Sequence[Resource]) -> dict[str, Any]:
        """What `apply` would have answered for what an operation has made, in its form."""
        ...

    def destroy(self, resource: Resource) -> None:
        """End a resource; one that is gone already is no error."""
        ...
