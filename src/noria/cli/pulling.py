"""A progress bar for weights that the server pulls behind its door."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noria.models.host import EngineHost

__all__ = ["show_pulls"]

_LOOK_SECONDS = 0.2


def show_pulls(engines: EngineHost, stop: threading.Event) -> None:
    """Show on the terminal how weights come, until all are there or `stop` is set.

    Without a terminal the beginning and the end of each pull are one line on stderr.
    """
    from noria.models.state import EngineState, Phase

    def pulling() -> dict[str, EngineState]:
        states = {name: engines.state(name) for name in ("smollm2", "minilm")}
        return {n: s for n, s in states.items() if s and s.state in (Phase.PULLING, Phase.ABSENT)}

    waiting = pulling()
    if not waiting:
        return
    if not sys.stderr.isatty():
        print(f"pulling weights: {', '.join(waiting)}", file=sys.stderr, flush=True)  # noqa: T201
        while waiting and not stop.wait(_LOOK_SECONDS):
            waiting = pulling()
        print("weights are here", file=sys.stderr, flush=True)  # noqa: T201
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks = {name: progress.add_task(f"local:{name}", total=None) for name in waiting}
        while waiting and not stop.wait(_LOOK_SECONDS):
            waiting = pulling()
            for name, task in tasks.items():
                state = waiting.get(name)
                if state is None:
                    progress.update(task, total=1, completed=1)
                elif state.stage is not None:
                    said = f"local:{name} {state.stage}"
                    total = state.total or None
                    progress.update(task, description=said, completed=state.done, total=total)
