"""Steps that are placed on a target: what `@step(on=...)` calls."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from noria.apps.declare.placement import Placement
from noria.apps.run.context import RunState, running
from noria.config import load
from noria.infra.executor import Executor
from noria.infra.targets import executor_of
from noria.tracing import current

__all__ = ["PlacedSteps"]


class PlacedSteps:
    """Calls steps where their placement says. When the run is cancelled, so is their work."""

    def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        placement: Placement,
    ) -> Any:
        """What the function returns; for one that awaits, something to await."""
        if inspect.iscoroutinefunction(function):
            return self._awaited(function, args, kwargs, placement)
        executor, future = self._begin(function, args, kwargs, placement)
        with _ending(executor, future):
            return future.result()

    async def _awaited(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        placement: Placement,
    ) -> Any:
        executor, future = await asyncio.to_thread(self._begin, function, args, kwargs, placement)
        with _ending(executor, future):
            return await asyncio.wrap_future(future)

    @staticmethod
    def _begin(
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        placement: Placement,
    ) -> tuple[Executor, Future[Any]]:
        context = current.get()
        config = context.runtime.config if context is not None else load()
        executor = executor_of(config, placement.on or "local")
        future = executor.submit(
            function,
            *args,
            gpus=placement.gpu,
            memory=placement.memory,
            idempotent=placement.idempotent,
            **kwargs,
        )
        return executor, future


@contextmanager
def _ending(executor: Executor, future: Future[Any]) -> Iterator[None]:
    """Have the work ended when whoever waits for it leaves, or a run that it is in is cancelled."""
    runs = []
    run: RunState | None = running.get()
    while run is not None:
        run.elsewhere[future] = lambda: executor.cancel(future)
        runs.append(run)
        run = run.outer
    try:
        yield
    except BaseException:
        executor.cancel(future)
        raise
    finally:
        for run in runs:
            run.elsewhere.pop(future, None)
