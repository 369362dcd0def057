"""A catalogue as a home keeps it: its content, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from noria.actions.catalogue.catalogue import Part
from noria.actions.operation import Effect, Offer, Operation
from noria.types import Label

__all__ = ["Origin", "StoredPart", "operation_json"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a catalogue came from: all that is needed to read it again."""

    kind: str
    """`openapi`, `python`, `help`, `mcp`, `apibench`, `offers`; `shipped` came with noria."""
    source: str
    """A path, an address, a module, or a command line."""
    at: str = ""
    """When it was read, ISO 8601, UTC."""
    label: Label = Label.PUBLIC
    """Of all of its operations."""
    grants: frozenset[str] = frozenset()
    """Groups that may see it; empty: everybody."""
    allow: tuple[str, ...] = ()
    """Where its references may lead: hosts, or folders."""
    server: str = ""
    """The address of the API, where it is not the one of the document."""


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part, where it came from, and what was left out of it."""

    part: Part
    origin: Origin
    lost: tuple[tuple[str, str], ...] = ()
    """What the document describes and the catalogue does not have, each with the reason."""
    versions: tuple[tuple[str, str], ...] = field(default=())
    """Those before, the newest first: each with the time that it was read."""

    def as_json(self) -> dict[str, Any]:
        """Everything, for the file; `from_json` reads it."""
        origin = asdict(self.origin) | {
            "label": str(self.origin.label),
            "grants": sorted(self.origin.grants),
        }
        return {
            "name": self.part.name,
            "version": self.part.version,
            "origin": origin,
            "lost": self.lost,
            "versions": self.versions,
            "operations": [operation_json(one) for one in self.part.operations],
            "offers": [asdict(one) for one in self.part.offers],
        }

    def told(self) -> dict[str, Any]:
        """What the verbs and the page say of it, without its content."""
        told = self.as_json()
        operations, offers = told.pop("operations"), told.pop("offers")
        effects = {str(effect): 0 for effect in Effect}
        for one in operations:
            effects[one["effect"]] += 1
        return told | {"operations": len(operations), "effects": effects, "offers": len(offers)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> StoredPart:
        """Read what `as_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        origin = dict(told["origin"])
        origin["label"] = Label.parse(origin["label"])
        origin["grants"] = frozenset(origin["grants"])
        origin["allow"] = tuple(origin["allow"])
        part = Part(
            told["name"],
            tuple(_operation(one) for one in told["operations"]),
            tuple(Offer(**one) for one in told["offers"]),
            told["version"],
            origin["grants"],
            origin["label"],
        )
        return cls(
            part,
            Origin(**origin),
            tuple((name, why) for name, why in told["lost"]),
            tuple((version, at) for version, at in told["versions"]),
        )


_FIELDS = tuple(one.name for one in fields(Operation))


def operation_json(one: Operation) -> dict[str, Any]:
    """An operation as JSON has it."""
    told = {name: getattr(one, name) for name in _FIELDS}
    return told | {"grants": sorted(one.grants), "label": str(one.label)}


def _operation(told: Mapping[str, Any]) -> Operation:
    return Operation(
        **{
            **told,
            "effect": Effect(told["effect"]),
            "grants": frozenset(told["grants"]),
            "label": Label.parse(told["label"]),
        }
    )
