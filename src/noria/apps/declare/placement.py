"""Where steps run: in this process, or wherever a higher floor puts them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Executor", "Placement", "executor", "use_executor"]


@dataclass(frozen=True, slots=True)
class Placement:
    """What a step asks for."""

    gpu: float = 0
    """Graphics processors, or a part of one."""
    memory: str | None = None
    """Memory, such as `"8GB"`."""
    on: str | None = None
    """The name of a cluster of the configuration; `local`: a process of this machine."""
    idempotent: bool = False
    """It may be done again where its worker died."""


class Executor(Protocol):
    """Calls functions where their placement says."""

    def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        placement: Placement,
    ) -> Any:
        """What the function returns; for one that awaits, something to await."""


class InProcess(Executor):
    """Calls them here, and what has to run elsewhere by the executor that is installed for it."""

    def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        placement: Placement,
    ) -> Any:
        if placement.on is not None:
            return _elsewhere().call(function, args, kwargs, placement)
        return function(*args, **kwargs)


@functools.cache
def _elsewhere() -> Executor:
    from noria.plugins import registry

    found: Executor = registry().executors.find("targets")()
    return found


_chosen: Executor = InProcess()


def executor() -> Executor:
    """The one that is in use."""
    return _chosen


def use_executor(chosen: Executor) -> Executor:
    """Have placed steps called by this one from now on. The one before is given back."""
    global _chosen
    before, _chosen = _chosen, chosen
    return before
