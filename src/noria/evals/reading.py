"""Files of battles: JSON lines, and Parquet where pyarrow is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from operator import contains, itemgetter
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.errors import NoriaError, NotFound
from noria.evals.battles import Battles
from noria.evals.collector import Collector

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Rows", "read_battles"]

_BLOCK = 1 << 16
"""Bytes of lines that are read together: their rows still fit into the caches."""
_MINUS_ONE = 0x1B873593CC9E2D51
_BOM = b"\xef\xbb\xbf"


def read_battles(
    files: str | PathLike[str] | Iterable[str | PathLike[str]], **options: Any
) -> Battles:
    """The battles of files, in their order; options as `Collector` takes them.

    Rows that cannot be used are in `dropped` by reason: `not_utf8`, `not_json`, `not_an_object`,
    `missing_field`, `unknown_label`, `self_battle`, `unknown_model`, `duplicate`, ...

    Raises:
        NotFound: there is no such file.
        NoriaError: a file cannot be read at all, or is Parquet and pyarrow is not installed.
    """
    collector = Collector(**options)
    for file in [files] if isinstance(files, str | PathLike) else files:
        path = Path(file)
        try:
            with path.open("rb") as opened:
                parquet = opened.read(4) == b"PAR1"
            (_read_parquet if parquet else _read_lines)(path, collector)
        except FileNotFoundError:
            raise NotFound(
                f"There is no file {path}.", "Give the path of a file of battles."
            ) from None
        except OSError as failure:
            raise NoriaError(f"{path} cannot be read: {failure.strerror or failure}.") from None
    return collector.battles()


class Rows:
    """A chunk of rows as they come from JSON or from Python."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def codes(self, name: str, book: dict[Any, int]) -> NDArray[np.int32]:
        """See `Chunk`."""
        try:
            found = map(book.__getitem__, map(itemgetter(name), self.rows))
            return np.fromiter(found, np.int32, len(self.rows))
        except (
            KeyError,
            TypeError,
        ):  # no such field, or a list or an object where a name should be
            values = (row.get(name) for row in self.rows)
            plain = (value if isinstance(value, str | None) else () for value in values)
            return np.fromiter(map(book.__getitem__, plain), np.int32, len(self.rows))

    def hashes(self, name: str) -> NDArray[np.int64]:
        """See `Chunk`."""
        try:
            values = list(map(itemgetter(name), self.rows))
            return _hashes(values)
        except (KeyError, TypeError):
            if not any(map(contains, self.rows, repeat(name))):
                return np.full(len(self.rows), hash(None), np.int64)
            values = [row.get(name) for row in self.rows]
        try:
            return _hashes(values)
        except TypeError:
            return _hashes([value if value is None else repr(value) for value in values])

    def values(self, name: str) -> list[Any]:
        """See `Chunk`."""
        return [row.get(name) for row in self.rows]


def _hashes(values: list[Any]) -> NDArray[np.int64]:
    """The hash of each value; Python gives -1 and -2 the same one."""
    found = np.fromiter(map(hash, values), np.int64, len(values))
    for place in np.flatnonzero(found == -2):
        if values[place] == -1:
            found[place] = _MINUS_ONE
    return found


def _read_lines(path: Path, collector: Collector) -> None:
    from orjson import JSONDecodeError, loads

    with path.open("rb") as file:
        if file.read(len(_BOM)) != _BOM:
            file.seek(0)
        while lines := file.readlines(_BLOCK):
            try:
                rows = list(map(loads, lines))
            except JSONDecodeError:
                rows = _sound(lines, collector)
            if set(map(type, rows)) != {dict}:
                objects = [row for row in rows if type(row) is dict]
                collector.drop("not_an_object", len(rows) - len(objects))
                rows = objects
            collector.add(Rows(rows))


def _sound(lines: list[bytes], collector: Collector) -> list[Any]:
    """The lines that are JSON; the others are counted. Blank lines are nothing."""
    from orjson import JSONDecodeError, loads

    rows = []
    for line in lines:
        try:
            rows.append(loads(line))
        except JSONDecodeError:
            if line.strip():
                collector.drop(_fault(line))
    return rows


def _fault(line: bytes) -> str:
    try:
        line.decode()
    except UnicodeDecodeError:
        return "not_utf8"
    return "not_json"


def _read_parquet(path: Path, collector: Collector) -> None:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise NoriaError(
            f"{path} is Parquet, and pyarrow, which reads it, is not installed.",
            "Install it, or save the battles as JSON lines: pip install pyarrow",
        ) from None
    try:
        file = parquet.ParquetFile(path)
        needed = {"model_a", "model_b", "winner", "judge", "tstamp", "id"}
        needed |= {"timestamp", "question_id", "turn"} | (
            {"voter"} if collector.clusters else set()
        )
        needed |= {"language", "category"} | ({"propensity"} if collector.propensity else set())
        needed |= {"conversation_a", "conversation_b"} if collector.style else set()
        columns = [name for name in file.schema_arrow.names if name in needed]
        for batch in file.iter_batches(1 << 17, columns=columns):
            collector.add(_Batch(batch))
    except ArrowException as failure:
        raise NoriaError(f"{path} is not sound Parquet: {failure}") from None


class _Batch:
    """A chunk of Parquet rows. Names are looked up once for each different one."""

    def __init__(self, batch: pyarrow.RecordBatch) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def codes(self, name: str, book: dict[Any, int]) -> NDArray[np.int32]:
        """See `Chunk`."""
        values, places = self._different(name)
        return Rows([{name: value} for value in values]).codes(name, book)[places]

    def hashes(self, name: str) -> NDArray[np.int64]:
        """See `Chunk`."""
        values, places = self._different(name)
        return Rows([{name: value} for value in values]).hashes(name)[places]

    def values(self, name: str) -> list[Any]:
        """See `Chunk`."""
        if name not in self.batch.schema.names:
            return [None] * len(self)
        return list(self.batch.column(name).to_pylist())

    def _different(self, name: str) -> tuple[list[Any], NDArray[np.intp]]:
        """The different values, None last, and for each row the place of its own."""
        import pyarrow

        if name not in self.batch.schema.names:
            return [None], np.zeros(len(self), np.intp)
        column = self.batch.column(name)
        if pyarrow.types.is_nested(column.type):
            return self.values(name), np.arange(len(self))
        if not pyarrow.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        values = [*column.dictionary.to_pylist(), None]
        places = column.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
        return values, places.astype(np.intp)
