"""A function over every row of a file: resumable, and never the same row twice.

Each row in is a JSON object, the arguments. Each row out is `{"index", "input", "output", "error",
"trace_id"}`, appended in one write when its run has ended, in the order in which runs end. Rows are
known again by their index and their input, so that a batch which was killed goes on where it was; a
last line that was cut by the kill is dropped, and its row run.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from noria.apps.run.run import start
from noria.errors import ApiError, HomeBusy, NoriaError
from noria.types import Label

if TYPE_CHECKING:
    from noria.apps.declare.app import App
    from noria.tracing import CallContext

__all__ = ["BatchReport", "run_batch", "run_row"]

Progress = Callable[[int, int], None]
"""Told how many rows are done, and of how many."""

Elsewhere = Callable[[Iterator[tuple[int, bytes]]], Iterator[tuple[int, bytes, str | None]]]
"""Given rows by index; gives the line of each result, and why the row failed."""

_SHOWN = 20


@dataclass(slots=True)
class BatchReport:
    """How a batch went. The rows of earlier runs on the same file are not counted again."""

    rows: int = 0
    """Rows in the file."""
    already: int = 0
    """Done before, and not done again."""
    done: int = 0
    failed: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)
    """The line (from 1) and the message of the first failures."""

    def fail(self, index: int, message: str) -> None:
        """Count a row that failed."""
        self.failed += 1
        if len(self.errors) < _SHOWN:
            self.errors.append((index + 1, message))


async def run_batch(
    app: App,
    function: str,
    source: Path,
    out: Path,
    context: Callable[[], Awaitable[CallContext]],
    *,
    concurrency: int = 8,
    variant: str | None = None,
    progress: Progress | None = None,
    elsewhere: Elsewhere | None = None,
) -> BatchReport:
    """Run a function over each row of a file that was not done yet.

    Args:
        app: the application.
        function: the name of its function.
        source: JSON lines, each an object with the arguments.
        out: where the results are appended; made if it is missing.
        context: gives the place for the run of each row.
        concurrency: rows at the same time.
        variant: which variant of the application.
        progress: called when a row has ended.
        elsewhere: runs the rows in other processes, and gives their results as they come.

    Raises:
        NoriaError: a file cannot be used: `out` holds the results of other rows, say.
        HomeBusy: another process writes to `out`.
        ApiError: there is no such function or variant.
    """
    app.find_variant(variant)
    if function not in app.functions:
        known = ", ".join(app.functions) or "none"
        raise NoriaError(f"{app.name} has no function {function!r}. It has: {known}.")
    report = BatchReport(rows=_count(source))
    with _appending(out) as fd:
        finished = _finished(fd, out)
        free = asyncio.Semaphore(concurrency)
        tasks: set[asyncio.Task[None]] = set()
        run = _Rows(app, function, variant, context, fd, report, progress)
        left = run.left(source, finished, out)
        if elsewhere is not None:
            await asyncio.to_thread(run.note_all, elsewhere(left))
            return report
        try:
            for index, line in left:
                await free.acquire()
                task = asyncio.create_task(run.one(index, line))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                task.add_done_callback(lambda _: free.release())
                run.raise_failure()
            while tasks:
                await asyncio.wait(tasks)
            run.raise_failure()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return report


async def run_row(
    app: App, function: str, variant: str | None, context: CallContext, index: int, line: bytes
) -> tuple[bytes, str | None]:
    """Run a function over one row.

    Returns: the line of its result, and why it failed.

    Raises:
        NoriaError: not because of the row; the home is away, say.
    """
    given = _read(line)
    row: dict[str, Any] = {"index": index, "input": given, "output": None, "error": None}
    row["trace_id"] = None
    error: str | None = None
    try:
        if not isinstance(given, dict):
            raise ApiError(422, "invalid_arguments", "The row is not a JSON object.")
        row["trace_id"] = context.trace.id
        run = start(app, function, given, context, variant=variant)
        try:
            result = await run.result()
        finally:
            await run.cancel()
        row["output"] = orjson.Fragment(result.json)
        label = await context.runtime.labels.current(context.trace)
        if label is not Label.PUBLIC:
            row["label"] = str(label)
    except ApiError as refusal:
        row["error"] = {"code": refusal.code, "message": refusal.message}
        error = refusal.message
    return orjson.dumps(row), error


class _Rows:
    """Runs rows and writes down what came of them."""

    def __init__(
        self,
        app: App,
        function: str,
        variant: str | None,
        context: Callable[[], Awaitable[CallContext]],
        fd: int,
        report: BatchReport,
        progress: Progress | None,
    ) -> None:
        self._app = app
        self._function = function
        self._variant = variant
        self._place = context
        self._fd = fd
        self._report = report
        self._progress = progress
        self._failure: Exception | None = None

    async def one(self, index: int, line: bytes) -> None:
        """Run one row. What is wrong with it is its result; it never stops the others."""
        try:
            context = await self._place()
            result, error = await run_row(
                self._app, self._function, self._variant, context, index, line
            )
            self.note(index, result, error)
        except Exception as failure:  # noqa: BLE001 - the batch ends with it
            self._failure = self._failure or failure

    def left(
        self, source: Path, finished: dict[int, bytes], out: Path
    ) -> Iterator[tuple[int, bytes]]:
        """The rows that were not done yet."""
        for index, line in _rows(source):
            if index in finished:
                _must_be_same(finished.pop(index), line, index, out)
                self._report.already += 1
                self.told()
            else:
                yield index, line

    def note(self, index: int, result: bytes, error: str | None) -> None:
        """Write down what came of a row."""
        os.write(self._fd, result + b"\n")
        if error is None:
            self._report.done += 1
        else:
            self._report.fail(index, error)
        self.told()

    def note_all(self, results: Iterator[tuple[int, bytes, str | None]]) -> None:
        """Write down what came of rows that ran elsewhere."""
        for index, result, error in results:
            try:
                self.note(index, result, error)
            except OSError as full:
                self._failure = full
                self.raise_failure()

    def told(self) -> None:
        """Say how far it has come."""
        if self._progress is not None:
            report = self._report
            self._progress(report.already + report.done + report.failed, report.rows)

    def raise_failure(self) -> None:
        """Raise what makes going on pointless: the disk is full, or the home is away."""
        if isinstance(self._failure, OSError):
            raise NoriaError(f"The results cannot be written: {self._failure.strerror}.")
        if self._failure is not None:
            raise self._failure


def _rows(source: Path) -> Iterator[tuple[int, bytes]]:
    """Each line with its index; empty lines are no rows."""
    with source.open("rb") as file:
        for index, line in enumerate(file):
            if line.strip():
                yield index, line.strip()


def _count(source: Path) -> int:
    try:
        return sum(1 for _ in _rows(source))
    except OSError as unreadable:
        raise NoriaError(f"{source} cannot be read: {unreadable.strerror}.") from None


def _read(line: bytes) -> Any:
    """The row, or the line itself as a text where it is no JSON."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return line.decode(errors="replace")


@contextmanager
def _appending(out: Path) -> Iterator[int]:
    try:
        fd = os.open(out, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as unusable:
        raise NoriaError(f"{out} cannot be written: {unusable.strerror}.") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield fd
    except BlockingIOError:
        raise HomeBusy(f"Another batch writes to {out}.", "Wait for it, or stop it.") from None
    finally:
        os.close(fd)


def _finished(fd: int, out: Path) -> dict[int, bytes]:
    """The inputs of the rows that are done, by index. A line that was cut is dropped."""
    finished: dict[int, bytes] = {}
    end = 0
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(0)
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                row = orjson.loads(line)
                finished[row["index"]] = _digest(row["input"])
            except (orjson.JSONDecodeError, KeyError, TypeError):
                raise NoriaError(
                    f"{out}, line {number}: this is not a row that a batch wrote.",
                    "Name another file for the results, or remove this one.",
                ) from None
            end += len(line)
    os.ftruncate(fd, end)
    return finished


def _digest(given: Any) -> bytes:
    return hashlib.sha256(orjson.dumps(given, option=orjson.OPT_SORT_KEYS)).digest()


def _must_be_same(before: bytes, line: bytes, index: int, out: Path) -> None:
    if before != _digest(_read(line)):
        raise NoriaError(
            f"{out} holds the result of another row {index}: its input was not that of line "
            f"{index + 1}.",
            "Name another file for the results, or give the rows that it was made from.",
        )
