"""What the simulator can do and what it offers, as a catalogue describes it."""

from __future__ import annotations

from typing import Any

from noria.actions.operation import Effect, Offer, Operation

__all__ = ["OFFERS", "OPERATIONS", "REGIONS"]

NAME = "sim"
REGIONS = ("north", "south", "west")
_DAY = "2026-12-01"
_NAME: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 100}
_REGION: dict[str, Any] = {"type": "string", "enum": list(REGIONS)}
_TYPES = (
    # name, nano-dollars an hour, accelerator, how many, GiB each, vCPUs, GiB of memory
    ("small", 12_500_001, "", 0, 0, 2, 4.0),
    ("large", 199_999_999, "", 0, 0, 16, 64.0),
    ("t4.1", 526_000_000, "t4", 1, 16, 8, 32.0),
    ("a100.8", 32_772_600_000, "a100", 8, 40, 96, 1152.0),
    ("h100.8", 98_320_000_000, "h100", 8, 80, 192, 2048.0),
)

OFFERS = tuple(
    Offer(NAME, region, name, price, _DAY, accelerator, number, gib, vcpus, memory)
    for region in REGIONS
    for name, price, accelerator, number, gib, vcpus, memory in _TYPES
    if (name, region) not in (("a100.8", "west"), ("h100.8", "north"))
)
"""The a100 is not to be had in `west`, nor the h100 in `north`."""


def _operation(
    name: str,
    summary: str,
    effect: Effect,
    properties: dict[str, Any],
    required: list[str],
    **more: Any,
) -> Operation:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return Operation(NAME, name, summary, parameters, effect, NAME, **more)


OPERATIONS = (
    _operation(
        "list_machines",
        "List the machines of a region.",
        Effect.READ,
        {"region": _REGION},
        ["region"],
        idempotent=True,
    ),
    _operation(
        "start_machines",
        "Start machines of one type in one region.",
        Effect.CREATE,
        {
            "region": _REGION,
            "instance_type": {"type": "string", "enum": [one[0] for one in _TYPES]},
            "count": {"type": "integer", "minimum": 1, "maximum": 1000},
            "name": _NAME,
        },
        ["region", "instance_type", "count"],
        starts={"region": "region", "instance_type": "instance_type", "count": "count"},
        undo="stop_machines",
        undo_arguments={"ids": "result.ids"},
        undo_verified=True,
    ),
    _operation(
        "stop_machines",
        "End machines for good.",
        Effect.DESTROY,
        {"ids": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
        ["ids"],
        idempotent=True,
    ),
    _operation(
        "make_bucket",
        "Make an empty bucket.",
        Effect.CREATE,
        {"region": _REGION, "name": _NAME},
        ["region", "name"],
        undo="remove_bucket",
        undo_arguments={"id": "result.id"},
        undo_verified=True,
    ),
    _operation(
        "remove_bucket",
        "Remove a bucket and all that is in it.",
        Effect.DESTROY,
        {"id": _NAME},
        ["id"],
        idempotent=True,
    ),
    _operation(
        "set_label",
        "Write a label on a machine or bucket.",
        Effect.CHANGE,
        {"id": _NAME, "label": {"type": "string", "maxLength": 100}},
        ["id", "label"],
        undo="set_label",
        undo_arguments={"id": "arguments.id", "label": "result.before"},
        undo_verified=True,
        idempotent=True,
    ),
)
