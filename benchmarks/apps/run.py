"""What the machinery of an application adds to the functions in it.

    python benchmarks/apps/run.py [--steps 20000]

Steps are called in a run in this process, whose home is in a temporary folder: each writes its span
with its inputs and outputs to the journal. The bare function is timed in the same loop, turn by
turn, and taken off. Processor time of the thread, the median of the turns and their spread; nothing
is asked of a model. Prints a table in markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from noria import App, step
from noria.apps.run import standalone as plain

TURNS = 20
SHORT = "What is the refund policy?"
NOTES = [{"title": f"Note {number}", "text": "refund " * 40} for number in range(8)]

app = App("bench")


def bare(question: str, notes: list[Any]) -> str:
    return question


async def bare_awaiting(question: str, notes: list[Any]) -> str:
    return question


stepped, stepped_awaiting = step(bare), step(bare_awaiting)


def microseconds(call: Callable[[], Any], count: int) -> float:
    """Time of the processor for one call."""
    begun = time.thread_time_ns()
    for _ in range(count):
        call()
    return (time.thread_time_ns() - begun) / count / 1000


async def microseconds_awaiting(call: Callable[[], Awaitable[Any]], count: int) -> float:
    begun = time.thread_time_ns()
    for _ in range(count):
        await call()
    return (time.thread_time_ns() - begun) / count / 1000


async def microseconds_together(call: Callable[[], Awaitable[Any]], count: int) -> float:
    begun = time.thread_time_ns()
    for _ in range(count // 100):
        await asyncio.gather(*(call() for _ in range(100)))
    return (time.thread_time_ns() - begun) / count / 1000


@app.task
def plainly(notes: list[Any], count: int) -> list[float]:
    """What a step adds to a function that does not await, in each turn."""
    return [
        microseconds(lambda: stepped(SHORT, notes), count)
        - microseconds(lambda: bare(SHORT, notes), count)
        for _ in range(TURNS)
    ]


@app.task
async def awaiting(notes: list[Any], count: int) -> list[float]:
    """The same for one that awaits."""
    return [
        await microseconds_awaiting(lambda: stepped_awaiting(SHORT, notes), count)
        - await microseconds_awaiting(lambda: bare_awaiting(SHORT, notes), count)
        for _ in range(TURNS)
    ]


@app.task
async def together(notes: list[Any], count: int) -> list[float]:
    """The same, a hundred of them at a time."""
    return [
        await microseconds_together(lambda: stepped_awaiting(SHORT, notes), count)
        - await microseconds_together(lambda: bare_awaiting(SHORT, notes), count)
        for _ in range(TURNS)
    ]


def outside(notes: list[Any], count: int) -> list[float]:
    """A step that is called outside of any run."""
    return [
        microseconds(lambda: stepped(SHORT, notes), count)
        - microseconds(lambda: bare(SHORT, notes), count)
        for _ in range(TURNS)
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--steps", type=int, default=20_000, help="steps of each kind")
    count = arguments.parse_args().steps // TURNS
    where = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as home:
        os.environ["NORIA_HOME"] = home
        measured = [
            ("a plain function, short inputs", plainly([], count)),
            ("a plain function, 8 notes (2.6 kB)", plainly(NOTES, count)),
            ("one that awaits, short inputs", asyncio.run(awaiting([], count))),
            ("one that awaits, 100 gathered", asyncio.run(together([], count))),
            ("outside of any run", outside([], count)),
        ]
        plain.close()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {where}. Microseconds of processor for one call.\n")
    print("| the step is | median | lowest turn | highest turn | at most |")
    print("|---|---:|---:|---:|---:|")
    for name, turns in measured:
        most = "" if name == "outside of any run" else "60"
        print(
            f"| {name} | {statistics.median(turns):.1f} | {min(turns):.1f} | {max(turns):.1f} "
            f"| {most} |"
        )


if __name__ == "__main__":
    main()
