"""A pass over a whole source: on all cores, in constant memory, and resumed where it was killed.

The main process cuts the source into pieces and writes; workers clean. What is finished stands in
a folder beside the output, with a checkpoint that says how far it goes. The rows come in the order
of the source, so a pass that was killed and resumed writes the same bytes as one that was not.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import orjson

from noria.datasets.cleaning.conversation import Cleaned, clean_conversations
from noria.datasets.cleaning.options import Options
from noria.datasets.cleaning.report import Report
from noria.datasets.cleaning.seen import SeenDigests
from noria.datasets.cleaning.tokens import token_counter
from noria.datasets.readers import Piece, conversations_of, pieces, size_of
from noria.errors import NoriaError

__all__ = ["clean_file"]

_BATCH_BYTES = 512 * 1024
_BATCH_PIECES = 512
_ALONE_BYTES = 2 * 1024 * 1024
"""A smaller source is cleaned in this process: starting others would take longer."""
_CHECKPOINT_SECONDS = 2.0
_DIGEST = 8

Progress = Callable[[str, int, int], None]


def clean_file(
    source: Path,
    out: Path,
    options: Options,
    *,
    workers: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> Report:
    """Clean a file, an archive or a folder of an export into a file of rows.

    Args:
        source: what to read.
        out: the file of rows, put in place when the pass is complete.
        options: what to do.
        workers: processes that clean; by default one for each core.
        progress: is told `stage, bytes done, bytes in all`.

    Raises:
        NoriaError: the source cannot be read, the disk is full, or the turns do not add up.
    """
    total = size_of(source)
    token_counter(options.tokenizer)  # refused before anything is written
    folder = out.with_name(f".{out.name}.partial")
    try:
        with _Checkpoint(folder, _fingerprint(source, options)) as checkpoint:
            checkpoint.report.bytes_in = total
            rest = islice(pieces(source), checkpoint.pieces, None)
            alone = total < _ALONE_BYTES or (workers or os.cpu_count() or 1) == 1
            cleaned = _alone(rest, options) if alone else _spread(rest, options, workers)
            for number, size, batch in cleaned:
                checkpoint.add(number, size, batch, keep_duplicates="duplicate" in options.keep)
                progress("clean", min(checkpoint.bytes, total), total)
            checkpoint.report.check()
            checkpoint.finish(out)
    except OSError as failed:
        raise NoriaError(
            f"{out} cannot be written: {failed.strerror or failed}.",
            "What is done is kept: make room, and run the same command again to go on.",
        ) from None
    return checkpoint.report


def _fingerprint(source: Path, options: Options) -> dict[str, Any]:
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    stats = [(one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in files]
    return {"source": str(source.resolve()), "files": stats, "options": options.as_json()}


class _Checkpoint:
    """What is done: rows, digests seen, counts, and the number of pieces behind them."""

    def __init__(self, folder: Path, fingerprint: dict[str, Any]) -> None:
        self.pieces = self.bytes = 0
        self.report = Report()
        self._folder = folder
        self._fingerprint = orjson.loads(orjson.dumps(fingerprint))
        self._seen = SeenDigests()
        self._rows_size = self._seen_size = 0
        self._began = self._saved = time.monotonic()

    def __enter__(self) -> _Checkpoint:
        state = self._read()
        if state is None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if state is not None:
            self.pieces, self.bytes = state["pieces"], state["bytes"]
            self.report = Report.from_json(state["report"])
            self._rows_size, self._seen_size = state["rows_size"], state["seen_size"]
            self._began -= self.report.seconds
        self._rows = self._opened("rows.jsonl", self._rows_size)
        self._digests = self._opened("seen.bin", self._seen_size)
        self._digests.seek(0)
        while digest := self._digests.read(_DIGEST):
            self._seen.add(digest)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is KeyboardInterrupt:
            self._save()
        self._rows.close()
        self._digests.close()

    def add(self, number: int, size: int, batch: list[Cleaned], *, keep_duplicates: bool) -> None:
        """Write what became of the next `number` pieces, which had `size` bytes."""
        for one in batch:
            self._count(one, keep_duplicates)
        self.pieces += number
        self.bytes += size
        if time.monotonic() - self._saved > _CHECKPOINT_SECONDS:
            self._save()

    def finish(self, out: Path) -> None:
        """Put the rows in place and remove the rest."""
        self._save()
        (self._folder / "rows.jsonl").replace(out)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _count(self, one: Cleaned, keep_duplicates: bool) -> None:
        report = self.report
        report.conversations_in += 1
        report.turns_in += one.turns_in
        if one.fault is not None:
            report.note_fault(one.source, one.fault)
        if one.rows and not self._seen.add(one.digest) and not keep_duplicates:
            one.dropped["duplicate"] += one.turns_out
            one.rows, one.turns_out = [], 0
        elif one.rows:
            self._digests.write(one.digest)
        report.dropped.update(one.dropped)
        if not one.rows:
            if one.fault is None:
                reason = one.dropped.most_common(1)[0][0] if one.dropped else "no_turns"
                report.conversations_dropped[reason] += 1
            return
        report.conversations_out += len(one.rows)
        report.turns_out += one.turns_out
        report.masked.update(one.masked)
        report.languages.update([one.language] if one.language else [])
        self._rows.write(b"".join(row + b"\n" for row in one.rows))

    def _save(self) -> None:
        for file in (self._rows, self._digests):
            file.flush()
            os.fsync(file.fileno())
        self.report.seconds = time.monotonic() - self._began
        state = {
            "fingerprint": self._fingerprint, "pieces": self.pieces, "bytes": self.bytes,
            "rows_size": self._rows.tell(), "seen_size": self._digests.tell(),
            "report": self.report.as_json(),
        }  # fmt: skip
        fresh = self._folder / "state.json.new"
        fresh.write_bytes(orjson.dumps(state))
        fresh.replace(self._folder / "state.json")
        self._saved = time.monotonic()

    def _read(self) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] = orjson.loads((self._folder / "state.json").read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return None
        return state if state.get("fingerprint") == self._fingerprint else None

    def _opened(self, name: str, size: int) -> Any:
        path = self._folder / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.truncate(descriptor, size)
        file = os.fdopen(descriptor, "r+b")
        file.seek(size)
        return file


_Batch = tuple[int, int, list[Cleaned]]


def _batches(source: Iterator[Piece]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    size = 0
    for piece in source:
        batch.append(piece)
        size += len(piece.data)
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_PIECES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _alone(source: Iterator[Piece], options: Options) -> Iterator[_Batch]:
    count = token_counter(options.tokenizer)
    for batch in _batches(source):
        yield _clean(batch, options, count)


def _clean(batch: list[Piece], options: Options, count: Callable[[str], int]) -> _Batch:
    drafts = [
        (piece.source, draft) for piece in batch for draft in conversations_of(piece, options.form)
    ]
    size = sum(len(piece.data) + 2 for piece in batch)
    return len(batch), size, clean_conversations(drafts, options, count)


def _spread(source: Iterator[Piece], options: Options, workers: int | None) -> Iterator[_Batch]:
    """Batches cleaned by other processes, in the order of the source, few at a time."""
    wanted = workers or os.cpu_count() or 1
    context = get_context("spawn")
    with ProcessPoolExecutor(wanted, context, _start_worker, (options,)) as pool:
        waiting: deque[Future[_Batch]] = deque()
        try:
            for batch in _batches(source):
                waiting.append(pool.submit(_work, batch))
                if len(waiting) > wanted + 2:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise NoriaError(
                "A process that cleaned died, probably for want of memory.",
                "What is done is kept: run the same command again to go on.",
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


_worker: tuple[Options, Callable[[str], int]]


def _start_worker(options: Options) -> None:
    global _worker
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends the pass
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = options, token_counter(options.tokenizer)


def _end_with_parent() -> None:
    """Leave when the main process was killed, which closes no queue."""
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _work(batch: list[Piece]) -> _Batch:
    return _clean(batch, *_worker)
