"""Conversations worth learning from: read, cleaned, kept with where they came from.

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.datasets.dataset import Dataset, list_datasets, remove_dataset
    from noria.datasets.row import Row, digest_of, read_rows, write_rows
    from noria.datasets.stats import statistics_of

_NAMES_OF = {
    "dataset": "Dataset list_datasets remove_dataset",
    "row": "Row digest_of read_rows write_rows",
    "stats": "statistics_of",
}

__all__ = [
    "Dataset",
    "Row",
    "digest_of",
    "list_datasets",
    "read_rows",
    "remove_dataset",
    "statistics_of",
    "write_rows",
]

__getattr__ = load_on_use(__name__, _NAMES_OF)
