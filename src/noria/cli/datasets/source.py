"""What a verb reads: a set by its name, or a file of rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from noria.cli._io.home import open_home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from noria.datasets import Dataset, Row

__all__ = ["Rows", "open_rows"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that can be read again and again."""

    name: str
    read: Callable[[], Iterable[Row]]
    dataset: Dataset | None = None


@contextmanager
def open_rows(named: str) -> Iterator[Rows]:
    """The rows of a file (a name with a dot or slash that exists) or of a set of this home.

    Raises:
        NotFound: there is neither.
    """
    from noria.datasets import Dataset, read_rows

    path = Path(named)
    if path.is_file():
        yield Rows(named, lambda: read_rows(path))
        return
    with open_home() as home:
        dataset = Dataset.open(home.db, named)
        yield Rows(dataset.reference, dataset.rows, dataset)
