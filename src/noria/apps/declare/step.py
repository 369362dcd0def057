"""`@step`: a function whose calls are seen in the trace, and that stays a function.

Outside of any run nothing is added to a call: no server, no database, no event loop.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, overload

from noria.apps.declare.function import place_in_file
from noria.apps.declare.placement import Placement, executor
from noria.apps.run.context import running
from noria.apps.run.failures import may_help
from noria.apps.run.serialise import as_json
from noria.apps.run.sync import in_time
from noria.errors import AppError
from noria.tracing import current, span
from noria.types import SpanKind

__all__ = ["Step", "known_steps", "step"]

P = ParamSpec("P")
R = TypeVar("R")

known_steps: dict[str, Step] = {}
"""Every step of this process, by name."""


@dataclass(eq=False)
class Step:
    """What noria knows of a step."""

    name: str
    call: Callable[..., Any]
    timeout: float | None
    retries: int
    placement: Placement | None

    def __post_init__(self) -> None:
        parameters = inspect.signature(self.call).parameters.values()
        self._names = [
            one.name
            for one in parameters
            if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        ]
        self._defaults = {
            one.name: one.default for one in parameters if one.default is not one.empty
        }

    def inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """What goes in, as it is recorded: every argument by name."""
        names = self._names
        given = self._defaults | dict(zip(names, args, strict=False)) | kwargs
        if len(args) > len(names):
            given["*"] = args[len(names) :]
        return as_json(given)

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function that does not await."""
        for attempt in range(self.retries):
            try:
                return self._attempt(args, kwargs, attempt)
            except Exception as failure:
                if not may_help(failure):
                    raise
        return self._attempt(args, kwargs, self.retries)

    async def call_async(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function that awaits."""
        for attempt in range(self.retries):
            try:
                return await self._attempt_async(args, kwargs, attempt)
            except Exception as failure:
                if not may_help(failure):
                    raise
        return await self._attempt_async(args, kwargs, self.retries)

    def _attempt(self, args: tuple[Any, ...], kwargs: dict[str, Any], attempt: int) -> Any:
        if current.get() is None:
            return self._timed(args, kwargs)
        with span(SpanKind.STEP, self.name, request=self.inputs(args, kwargs)) as work:
            if attempt:
                work.attributes["attempt"] = attempt + 1
            result = self._timed(args, kwargs)
            work.response = as_json(result)
        self._ended(result)
        return result

    async def _attempt_async(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], attempt: int
    ) -> Any:
        if current.get() is None:
            return await self._timed_async(args, kwargs)
        with span(SpanKind.STEP, self.name, request=self.inputs(args, kwargs)) as work:
            if attempt:
                work.attributes["attempt"] = attempt + 1
            result = await self._timed_async(args, kwargs)
            work.response = as_json(result)
        self._ended(result)
        return result

    def _timed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.timeout is None:
            return self._placed(args, kwargs)
        return in_time(self.timeout, self._placed, args, kwargs)

    async def _timed_async(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.timeout is None:
            return await self._placed(args, kwargs)
        async with asyncio.timeout(self.timeout):
            return await self._placed(args, kwargs)

    def _placed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.placement is None:
            return self.call(*args, **kwargs)
        return executor().call(self.call, args, kwargs, self.placement)

    def _ended(self, result: Any) -> None:
        """Keep the result for the checks of the run."""
        run = running.get()
        if run is not None:
            run.stepped(self.name, result)


@overload
def step(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def step(
    *,
    name: str | None = None,
    timeout: float | None = None,
    retries: int = 0,
    gpu: float = 0,
    memory: str | None = None,
    on: str | None = None,
    idempotent: bool = False,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def step(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    timeout: float | None = None,
    retries: int = 0,
    gpu: float = 0,
    memory: str | None = None,
    on: str | None = None,
    idempotent: bool = False,
) -> Any:
    """Have each call of a function recorded, with exactly what goes in and comes out.

    Args:
        function: the function, which stays what it is.
        name: what it is called in traces and by checks; by default the function's name.
        timeout: seconds for one attempt; then `TimeoutError` is raised. A function that does not
            await goes on in its thread, but nobody waits for it.
        retries: further attempts when one fails; each is a span of its own.
        gpu: how many graphics processors it needs.
        memory: how much memory it needs, such as `"8GB"`.
        on: the cluster of the configuration that it must run on; `local`: a process of this
            machine.
        idempotent: it may be done again where its worker died.

    Raises:
        AppError: the function cannot be a step.
    """
    placement = Placement(gpu, memory, on, idempotent) if gpu or memory or on else None
    if function is None:
        return lambda function: _wrapped(function, name, timeout, retries, placement)
    return _wrapped(function, name, timeout, retries, placement)


def _wrapped(
    call: Any,
    name: str | None,
    timeout: float | None,
    retries: int,
    placement: Placement | None,
) -> Any:
    if not inspect.isfunction(call):
        raise AppError(f"@step stands before a function, not before {call!r}.")
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        raise AppError(
            f"{place_in_file(call)}: {call.__name__} yields, but a step returns its result.",
            "Return a list, or leave @step out.",
        )
    this = Step(name or call.__name__, call, timeout, retries, placement)
    known_steps[this.name] = this
    wrapper: Any
    if inspect.iscoroutinefunction(call):

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await this.call_async(args, kwargs)

    else:

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return this(args, kwargs)

    wrapper = functools.wraps(call)(wrapper)
    wrapper.__noria_step__ = this
    return wrapper
