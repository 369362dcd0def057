"""Two attempts at once, for those who would rather pay twice than wait.

When the first target has not begun to answer after a while, the next one is asked as well, with
a hold of its own. Whoever has the first bytes answers; the other is stopped and settled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from noria.errors import ApiError
from noria.gateway.attempt import Attempt, HedgeRace
from noria.gateway.failures import AttemptFailure

__all__ = ["run_hedged"]


async def run_hedged(
    first: Attempt,
    claim: HedgeRace,
    run: Callable[[Attempt], Awaitable[AttemptFailure | None]],
    make_second: Callable[[], Awaitable[Attempt]],
    seconds: float,
) -> tuple[Attempt, AttemptFailure | None]:
    """Run an attempt, and a second one if the first is slow to begin.

    Args:
        first: the attempt that holds its money already.
        claim: what both compete for.
        run: runs an attempt to its end.
        make_second: reserves for the other target.
        seconds: how long the first may take to begin.

    Returns:
        The attempt that answered (or failed last), unsettled, and how it failed.
    """
    tasks = {first: asyncio.ensure_future(run(first))}
    try:
        await asyncio.wait(tasks.values(), timeout=seconds)
        if not tasks[first].done() and claim.winner is None:
            try:
                second = await make_second()
            except ApiError:
                return first, await tasks[first]  # No money for a second: the first goes on.
            tasks[second] = asyncio.ensure_future(run(second))
        await asyncio.wait(tasks.values())
    except asyncio.CancelledError:
        for attempt, task in tasks.items():
            task.cancel()
            attempt.stop()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        answering = claim.winner or first
        for attempt in tasks:
            if attempt is not answering:
                attempt.settle(AttemptFailure.outrun())
        if not answering.ended:
            answering.cancelled()
        raise
    answering = claim.winner or first
    for attempt, task in tasks.items():
        if attempt is not answering:
            attempt.settle(task.result() or AttemptFailure.outrun())
    return answering, tasks[answering].result()
