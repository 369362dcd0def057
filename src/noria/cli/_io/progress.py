"""How far a long piece of work has come: a bar on a terminal, a line for each stage elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

__all__ = ["watched"]

_WORDS = {
    "download": "downloading",
    "convert": "converting",
    "run": "running",
    "read": "reading",
    "embed": "embedding",
}


@contextlib.contextmanager
def watched(what: str) -> Iterator[Callable[[str, int, int], None]]:
    """A callback for `stage, done, total` that shows them on standard error."""
    if not sys.stderr.isatty():
        yield _Lines(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
    )
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True)) as shown:

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = shown.add_task(f"{_WORDS.get(stage, stage)} {what}", total=None)
            shown.update(bars[stage], completed=done, total=total or None)

        yield progress


class _Lines:
    """Says when a stage begins, for a log."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._stage = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage:
            self._stage = stage
            sys.stderr.write(f"{_WORDS.get(stage, stage)} {self._what} ...\n")
            sys.stderr.flush()
