"""Rows of a batch, run on a Ray cluster by Ray Data.

The driver reads the file as lines, since Ray's own reader of JSON alters rows, and sends windows of
them; each row is a run under the caller's key, in a trace of its own. Results are appended by the
driver as they come, which is the checkpoint: a driver that was killed goes on where it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from noria.apps.run.batch import run_row
from noria.apps.run.tickets import ContextToken, ticket
from noria.ids import new_trace_id
from noria.infra.ray.bundle import bundle_of
from noria.infra.ray.cluster import connect
from noria.infra.ray.executor import told
from noria.types import Label

if TYPE_CHECKING:
    from noria.apps import App
    from noria.config import Cluster
    from noria.tracing import CallContext

__all__ = ["RayRows"]

_WINDOW = 4096
"""Rows that are on their way at the same time, at most."""
_BLOCK = 64


class RayRows:
    """Runs rows on a cluster; what `run_batch` takes as `elsewhere`.

    Args:
        cluster: where.
        app: the application.
        function: the name of its function.
        context: whose runs they are.
        variant: which variant of the application.
        concurrency: rows at the same time in each worker.
    """

    def __init__(
        self,
        cluster: Cluster,
        app: App,
        function: str,
        context: CallContext,
        variant: str | None,
        concurrency: int,
    ) -> None:
        self._ray = connect(cluster)
        self._title = f"{app.name}.{function}"
        self._ticket = replace(ticket(context, None), mark=Label.PUBLIC, span_id=None)
        self._told = (app.file.name, app.name, function, variant, concurrency)
        self._environment = bundle_of(str(app.file.parent)).runtime_env(install=cluster.install)

    def run(self, rows: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes, str | None]]:
        """The lines of the results as they come, each with its index and the error of its row."""
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        ray.data.DataContext.get_current().enable_progress_bars = False
        while window := list(islice(rows, _WINDOW)):
            lines = [{"index": index, "line": line} for index, line in window]
            try:
                done = ray.data.from_items(lines, override_num_blocks=-(-len(lines) // _BLOCK))
                mapped = done.map_batches(
                    _run_block,
                    fn_args=(self._ticket, self._told),
                    batch_size=_BLOCK,
                    zero_copy_batch=True,
                    runtime_env=self._environment,
                )
                for row in mapped.iter_rows():
                    yield row["index"], row["result"], row["error"] or None
            except Exception as failure:  # noqa: BLE001 - raised again, in noria's words
                raise told(failure, self._title) from None


def _run_block(block: dict[str, Any], token: ContextToken, given: tuple[Any, ...]) -> Any:
    """Run the rows of one block in a worker of the cluster."""
    return asyncio.run(_run_rows(block, token, *given))


async def _run_rows(
    block: dict[str, Any],
    token: ContextToken,
    file: str,
    app_name: str,
    function: str,
    variant: str | None,
    concurrency: int,
) -> dict[str, list[Any]]:
    from noria.infra.work import load_here

    app = load_here(file, app_name)
    free = asyncio.Semaphore(concurrency)

    async def one(index: int, line: bytes) -> tuple[bytes, str]:
        async with free:
            context, _ = await asyncio.to_thread(replace(token, trace_id=new_trace_id()).redeem)
            result, error = await run_row(app, function, variant, context, index, line)
            return result, error or ""

    indexes = [int(index) for index in block["index"]]
    done = await asyncio.gather(*(one(*row) for row in zip(indexes, block["line"], strict=True)))
    return {
        "index": indexes,
        "result": [result for result, _ in done],
        "error": [error for _, error in done],
    }
