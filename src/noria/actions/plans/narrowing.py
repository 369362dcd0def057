"""Narrowing a plan while it is signed: less of something, for a shorter time, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from noria.actions.operation import Source
from noria.actions.plan import Plan
from noria.actions.plans.facts import Known
from noria.errors import NoriaError
from noria.ids import new_span_id

__all__ = ["narrow"]

_HOUR = 3600
_SHORTEST_S = 60


def narrow(plan: Plan, changes: Mapping[str, Any], known: Known) -> Plan:
    """A plan of its own with some arguments lowered.

    Args:
        plan: the plan.
        changes: `CALL.ARGUMENT` (the calls are counted from 1) or `time_to_live_s` -> the new
            value: a smaller positive number, or a part of a list.
        known: the catalogue, which says what is a count that the price follows.

    Raises:
        NoriaError: a change is none, names nothing, or widens the plan.
    """
    operations = {operation.id: operation for operation in known.operations()}
    calls, time_to_live_s = list(plan.calls), plan.time_to_live_s
    for name, value in changes.items():
        if name == "time_to_live_s":
            _must_narrow(name, time_to_live_s, value)
            time_to_live_s = max(_SHORTEST_S, int(value))
            continue
        number, _, argument = name.partition(".")
        place = int(number) - 1 if number.isdigit() else -1
        if not 0 <= place < len(calls) or argument not in calls[place].arguments:
            raise NoriaError(
                f"{name}: the plan has no such argument.",
                "Write CALL.ARGUMENT=VALUE as noria act show lists them, such as 1.count=2.",
            )
        call = calls[place]
        before = call.arguments[argument]
        _must_narrow(name, before, value)
        price = call.price_hour_nano
        if operations[call.operation].starts.get("count") == argument:
            price = price * value // before
        calls[place] = replace(
            call,
            arguments={**call.arguments, argument: value},
            sources={**call.sources, argument: Source("approval", f"narrowed from {before!r}")},
            price_hour_nano=price,
        )
    price = sum(call.price_hour_nano for call in calls)
    return replace(
        plan,
        id=new_span_id(),
        calls=tuple(calls),
        price_hour_nano=price,
        ceiling_nano=-(-price * time_to_live_s // _HOUR),
        time_to_live_s=time_to_live_s,
        alternatives=(),
    )


def _must_narrow(name: str, before: Any, value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and isinstance(before, int | float) and not isinstance(before, bool):
        if type(value) is type(before) and 0 < value < before:
            return
    elif (
        isinstance(before, list)
        and isinstance(value, list)
        and len(value) < len(before)
        and all(one in before for one in value)
    ):
        return
    raise NoriaError(
        f"{name}: {value!r} is not less than {before!r}.",
        "An approval can only narrow a plan; for anything else make a new one.",
    )
