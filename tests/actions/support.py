"""Catalogues in memory for the tests of choosing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from noria.actions.operation import Effect, Offer, Operation

NANO = 1_000_000_000


@dataclass
class Catalogue:
    """Operations and offers as they are given; a search gives the operations in their order."""

    kept: Sequence[Operation] = ()
    priced: Sequence[Offer] = ()
    searched: list[str] = field(default_factory=list)

    def operations(self) -> Sequence[Operation]:
        return self.kept

    def search(self, words: str, k: int) -> Sequence[Operation]:
        self.searched.append(words)
        return self.kept[:k]

    def offers(self) -> Sequence[Offer]:
        return self.priced

    def version(self, catalogue: str) -> str:
        return f"version of {catalogue}"


def offer(
    region: str, kind: str, price: float | None, card: str = "", cards: int = 0, gib: int = 0,
    *, provider: str = "ec2", vcpus: int = 96, memory: float = 1152.0,
) -> Offer:  # fmt: skip
    nano = None if price is None else round(price * NANO)
    return Offer(provider, region, kind, nano, "2026-11-01", card, cards, gib, vcpus, memory)


def launching(provider: str = "ec2", **more: Any) -> Operation:
    """What starts machines of a provider."""
    text = {"type": "string"}
    properties = {"region": text, "instance_type": text, "count": {"type": "integer"}}
    return Operation(
        provider,
        "run_instances",
        "Start machines.",
        {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
        Effect.CREATE,
        provider,
        undo="terminate_instances",
        starts={name: name for name in properties},
        **more,
    )


def operation(
    name: str,
    properties: dict[str, Any] | None = None,
    required: Sequence[str] = (),
    effect: Effect = Effect.CREATE,
    **more: Any,
) -> Operation:
    schema = {"type": "object", "properties": properties or {}, "required": list(required)}
    return Operation("shop", name, name.replace("_", " "), schema, effect, "http", **more)


EC2 = (
    offer("us-east-1", "p4d.24xlarge", 32.7726, "a100", 8, 40),
    offer("us-west-2", "p4d.24xlarge", 32.7726, "a100", 8, 40),
    offer("us-east-1", "p4de.24xlarge", 40.9657, "a100", 8, 80),
    offer("us-east-1", "p5.48xlarge", 55.04, "h100", 8, 80, vcpus=192, memory=2048),
    offer("us-west-2", "p5.48xlarge", 55.04, "h100", 8, 80, vcpus=192, memory=2048),
    offer("us-west-1", "p5.48xlarge", 68.8, "h100", 8, 80, vcpus=192, memory=2048),
    offer("us-east-1", "g5.xlarge", 1.006, "a10g", 1, 24, vcpus=4, memory=16),
    offer("us-east-1", "g5.12xlarge", 5.672, "a10g", 4, 24, vcpus=48, memory=192),
    offer("eu-central-1", "g6.xlarge", None, "l4", 1, 24, vcpus=4, memory=16),
)
OTHERS = (offer("us-south-1", "gpu_8x_a100", 14.32, "a100", 8, 40, provider="lambda"),)
CLOUD = Catalogue((launching(), launching("lambda")), EC2 + OTHERS)
