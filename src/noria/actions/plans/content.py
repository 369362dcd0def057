"""A plan as it is stored, and what differs between two of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson

from noria.actions.operation import Effect, Source
from noria.actions.plan import Alternative, Plan, PlannedCall, PlanStatus, Reversibility

__all__ = ["difference", "plan_from", "plan_text"]


def plan_text(plan: Plan) -> str:
    """The content that the hash is made of, as JSON."""
    content = asdict(plan)
    del content["id"]
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()


def plan_from(plan_id: str, text: str) -> Plan:
    """The plan of a stored content.

    Raises:
        ValueError: the content is not a plan's.
    """
    try:
        content: dict[str, Any] = orjson.loads(text)
        return Plan(
            id=plan_id,
            **content
            | {
                "status": PlanStatus(content["status"]),
                "calls": tuple(_call(one) for one in content["calls"]),
                "alternatives": tuple(
                    Alternative(**one | {"calls": tuple(_call(call) for call in one["calls"])})
                    for one in content["alternatives"]
                ),
                "assumptions": tuple(content["assumptions"]),
            },
        )
    except (TypeError, KeyError, AttributeError) as wrong:
        raise ValueError(f"it is not the content of a plan: {wrong}") from None


def _call(content: dict[str, Any]) -> PlannedCall:
    return PlannedCall(
        **content
        | {
            "effect": Effect(content["effect"]),
            "reversibility": Reversibility(content["reversibility"]),
            "after": tuple(content["after"]),
            "touches": tuple(content["touches"]),
            "sources": {name: Source(**one) for name, one in content["sources"].items()},
        }
    )


def difference(one: Plan, other: Plan) -> list[dict[str, Any]]:
    """What differs: `{"path", "from", "to"}` each, where None stands for what is not there.

    Reasons and sources are compared as well, since they are what a person has signed.
    """
    found: list[dict[str, Any]] = []
    _compare("", orjson.loads(plan_text(one)), orjson.loads(plan_text(other)), found)
    return found


def _compare(path: str, one: Any, other: Any, found: list[dict[str, Any]]) -> None:
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted({*one, *other}):
            _compare(f"{path}.{name}" if path else name, one.get(name), other.get(name), found)
    elif isinstance(one, list) and isinstance(other, list):
        for place in range(max(len(one), len(other))):
            _compare(
                f"{path}[{place}]",
                one[place] if place < len(one) else None,
                other[place] if place < len(other) else None,
                found,
            )
    elif one != other:
        found.append({"path": path, "from": one, "to": other})
