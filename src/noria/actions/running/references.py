"""Arguments that are results of earlier calls: `{"$call": 0, "path": "ids.0"}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noria.errors import NoriaError

__all__ = ["at_path", "calls_named", "resolved"]


def calls_named(value: Any) -> set[int]:
    """The places of the calls whose results a value needs."""
    if isinstance(value, dict):
        if isinstance(value.get("$call"), int):
            return {value["$call"]}
        return set().union(*(calls_named(one) for one in value.values()))
    if isinstance(value, list | tuple):
        return set().union(*(calls_named(one) for one in value))
    return set()


def resolved(value: Any, results: Mapping[int, Any]) -> Any:
    """A value with every reference replaced by what it stands for.

    Raises:
        NoriaError: a result has nothing at the path.
    """
    if isinstance(value, dict):
        if isinstance(value.get("$call"), int):
            return at_path(results.get(value["$call"]), str(value.get("path", "")))
        return {name: resolved(one, results) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [resolved(one, results) for one in value]
    return value


def at_path(value: Any, path: str) -> Any:
    """What lies at a path of names and numbers, such as `Instances.0.InstanceId`; `*` takes every
    element of a list.

    Raises:
        NoriaError: there is nothing.
    """
    steps = [step for step in path.split(".") if step]
    for place, step in enumerate(steps):
        if step == "*" and isinstance(value, list):
            rest = ".".join(steps[place + 1 :])
            return [at_path(one, rest) for one in value]
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            raise NoriaError(f"The result of an earlier call has nothing at {path!r}.")
    return value
