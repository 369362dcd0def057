"""A function of an application stays the function that was written; each call of it is a run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noria.apps.declare.function import Function

__all__ = ["as_app_function"]


def as_app_function(function: Function) -> Callable[..., Any]:
    """The function as its module has it from now on: of the same kind, with the same signature."""
    call = function.call

    def named(args: Any, kwargs: Any) -> dict[str, Any]:
        return dict(function.signature.bind(*args, **kwargs).arguments)

    wrapper: Any
    if inspect.isasyncgenfunction(call):

        async def wrapper(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            from noria.apps.run.invoke import pieces

            async for piece in pieces(function, named(args, kwargs)):
                yield piece

    elif inspect.iscoroutinefunction(call):

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            from noria.apps.run.invoke import answer

            return await answer(function, named(args, kwargs))

    elif inspect.isgeneratorfunction(call):

        def wrapper(*args: Any, **kwargs: Any) -> Iterator[Any]:
            from noria.apps.run.invoke import pieces_sync

            yield from pieces_sync(function, named(args, kwargs))

    else:

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            from noria.apps.run.invoke import answer_sync

            return answer_sync(function, named(args, kwargs))

    wrapped: Callable[..., Any] = functools.update_wrapper(wrapper, call)
    vars(wrapped)["__noria__"] = function
    return wrapped
