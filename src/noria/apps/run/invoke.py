"""A function that Python code calls is a run like any other: inside another run a part of it,
elsewhere one of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from noria.apps.run.context import RunState, running
from noria.apps.run.run import Run
from noria.apps.run.standalone import current_context
from noria.apps.run.sync import iterate, wait

if TYPE_CHECKING:
    from noria.apps.declare.function import Function

__all__ = ["answer", "answer_sync", "pieces", "pieces_sync"]


async def _begin(function: Function, arguments: Mapping[str, Any]) -> Run:
    context = await current_context(function.app)
    outer = running.get()
    same = outer if outer is not None and outer.app is function.app else None
    this = RunState(
        function,
        dict(arguments),
        same.variant if same else None,
        same.model if same else None,
        outer,
    )
    return Run(this, context)


async def answer(function: Function, arguments: Mapping[str, Any]) -> Any:
    """What the function returns: an iterator over its pieces, if it streams."""
    run = await _begin(function, arguments)
    if await run.streams():
        return run.pieces()
    return await run.value()


async def pieces(function: Function, arguments: Mapping[str, Any]) -> AsyncIterator[Any]:
    """What the function yields."""
    run = await _begin(function, arguments)
    async with aclosing(run.pieces()) as source:  # type: ignore[type-var]
        async for piece in source:
            yield piece


def answer_sync(function: Function, arguments: Mapping[str, Any]) -> Any:
    """What a function that does not await returns, a stream as a whole."""

    async def work() -> Any:
        return await (await _begin(function, arguments)).value()

    return wait(work)


def pieces_sync(function: Function, arguments: Mapping[str, Any]) -> Iterator[Any]:
    """What a generator yields."""
    return iterate(lambda: pieces(function, arguments))
