"""Which part of a value cannot be sent to another process."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

from noria.infra.executor import UnpicklableValue

__all__ = ["explain"]

_DEEPEST = 6
_REMEDY = "Make it where it is used, inside the function, or pass what it is made from."


def explain(
    function: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], names: tuple[str, ...]
) -> UnpicklableValue | None:
    """The error that names the argument which cannot be sent, and the part of it; None where all
    of them can.

    Args:
        function: what is called.
        args: its arguments by place.
        kwargs: its arguments by name.
        names: what its parameters are called.
    """
    named = {names[n] if n < len(names) else f"argument {n + 1}": v for n, v in enumerate(args)}
    for name, value in {**named, **kwargs}.items():
        found = _culprit(value, name, 0)
        if found is not None:
            return _error(f"{function}: {found[0]}", found[1])
    return None


def explain_result(function: str, value: Any) -> UnpicklableValue:
    """The same of what a function returned."""
    path, culprit = _culprit(value, "result", 0) or ("result", value)
    return _error(f"{function}: {path}", culprit)


def _error(where: str, culprit: Any) -> UnpicklableValue:
    kind = type(culprit)
    return UnpicklableValue(
        f"{where} cannot be sent to another process: it is a {kind.__module__}."
        f"{kind.__qualname__}.",
        _REMEDY,
    )


def _culprit(value: Any, path: str, depth: int) -> tuple[str, Any] | None:
    """The innermost part that fails."""
    try:
        pickle.dumps(value)
        return None
    except Exception:  # noqa: BLE001 - a value's own code may fail in any way
        if depth < _DEEPEST:
            for name, part in _parts(value, path):
                found = _culprit(part, name, depth + 1)
                if found is not None:
                    return found
        return path, value


def _parts(value: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(f"{path}[{key!r}]", part) for key, part in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [(f"{path}[{n}]", part) for n, part in enumerate(value)]
    try:
        return [(f"{path}.{name}", part) for name, part in vars(value).items()]
    except TypeError:
        return []
