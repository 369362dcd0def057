"""An operation of some API: what it takes, what it does, and how it is undone."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from noria.types import Label

__all__ = ["Effect", "Offer", "Operation", "Source"]


class Effect(enum.StrEnum):
    """What a call of an operation does to the world, the mildest first."""

    READ = "read"
    CREATE = "create"
    CHANGE = "change"
    DESTROY = "destroy"


@dataclass(frozen=True, slots=True)
class Source:
    """Why an argument has its value: words of the request, or a passage of documentation."""

    kind: str
    """`request`, `documentation`, `catalogue`, `default`, or `call` (another call's output)."""
    text: str
    """The very words, or the passage."""
    where: str = ""
    """Of a passage: the catalogue, the operation and the field."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that an API can do, as its documentation describes it."""

    catalogue: str
    """The catalogue that it stands in: `ec2`, `github`, ..."""
    name: str
    """Its name within the catalogue; `CATALOGUE.NAME` is its id."""
    summary: str
    """One line."""
    parameters: dict[str, Any]
    """JSON Schema of an object: what the call takes. References are resolved."""
    effect: Effect
    provider: str
    """Who carries it out: `sim`, `ec2`, `http`, `process`, `python`, `mcp`, ..."""
    documentation: str = ""
    returns: dict[str, Any] = field(default_factory=dict)
    """JSON Schema of what comes back; empty where the documentation does not say."""
    undo: str | None = None
    """The name of the operation in the same catalogue that takes it back."""
    undo_arguments: dict[str, str] = field(default_factory=dict)
    """Where the undo's arguments come from: parameter -> path into `arguments` or `result`."""
    undo_verified: bool = False
    """The pair was seen to work: after both, nothing is left."""
    idempotent: bool = False
    """The same call twice does what one does."""
    binding: dict[str, Any] = field(default_factory=dict)
    """What the provider needs to carry it out (method, path, argv, ...). No secret."""
    starts: dict[str, str] = field(default_factory=dict)
    """Of one that starts what offers describe: which of its parameters say `region`,
    `instance_type` and `count` (and `accelerator`, where it has one). Its price is the offer's
    times the count; empty where it starts nothing that costs by the hour."""
    grants: frozenset[str] = frozenset()
    """Groups that may see it; empty: everybody."""
    label: Label = Label.PUBLIC

    @property
    def id(self) -> str:
        """`CATALOGUE.NAME`."""
        return f"{self.catalogue}.{self.name}"


@dataclass(frozen=True, slots=True)
class Offer:
    """Something that can be had for a price in one place: an instance type in a region."""

    provider: str
    region: str
    instance_type: str
    price_hour_nano: int | None
    """Nano-dollars an hour; None where it is unknown (0.0 in a table), which is never free."""
    as_of: str
    """The day of the price, `YYYY-MM-DD`."""
    accelerator: str = ""
    """Its name in lower case: `a100`, `h100`, ...; empty where there is none."""
    accelerators: int = 0
    """How many in one instance."""
    accelerator_memory_gib: int = 0
    """Of one accelerator."""
    vcpus: int = 0
    memory_gib: float = 0.0
