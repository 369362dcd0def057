"""Parts of a set: a split for training and evaluation without leaks, and samples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from noria.datasets.row import Row

__all__ = ["held_out", "sample", "split_rows"]


def held_out(
    rows: Callable[[], Iterable[Row]], share: float, *, seed: int = 0, threshold: float = 0.7
) -> set[int]:
    """The numbers of the rows that are held out for evaluation.

    Whole clusters of near duplicates go to one side, and so do all parts of one conversation, so
    that nothing which is learned is asked.

    Args:
        rows: gives the rows from the beginning each time it is called.
        share: of the rows to hold out, between 0 and 1.
        seed: another seed holds out others.
        threshold: the least similarity of rows that belong together.
    """
    from noria.datasets.duplicates import clusters, signatures_of, text_of_row

    first = clusters(signatures_of(text_of_row(row) for row in rows()), threshold)
    groups = _with_parts(first, rows())
    sizes: dict[int, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    wanted, held, chosen = share * len(groups), 0, set()
    for group in sorted(sizes, key=lambda one: _lot(seed, one)):
        if held >= wanted:
            break
        # A cluster that would take far more than is still wanted stays in training.
        if held + sizes[group] <= max(wanted, 1) + 0.5 * sizes[group]:
            chosen.add(group)
            held += sizes[group]
    return {number for number, group in enumerate(groups) if group in chosen}


def split_rows(
    rows: Callable[[], Iterable[Row]], share: float, *, seed: int = 0
) -> tuple[Iterator[Row], Iterator[Row]]:
    """The rows to learn from and the rows that are held out; see `held_out`."""
    apart = held_out(rows, share, seed=seed)
    return (
        (row for number, row in enumerate(rows()) if number not in apart),
        (row for number, row in enumerate(rows()) if number in apart),
    )


def sample(rows: Iterable[Row], size: int, *, seed: int = 0) -> list[Row]:
    """So many rows drawn evenly, in their order, in one pass (Vitter's algorithm R, 1985)."""
    random = np.random.default_rng(seed)
    drawn: list[tuple[int, Row]] = []
    for number, row in enumerate(rows):
        if number < size:
            drawn.append((number, row))
        elif (place := int(random.integers(0, number + 1))) < size:
            drawn[place] = (number, row)
    return [row for _, row in sorted(drawn, key=lambda one: one[0])]


def _with_parts(
    first: np.ndarray[tuple[int], np.dtype[np.int64]], rows: Iterable[Row]
) -> list[int]:
    """Clusters joined where parts of one conversation are in several."""
    above = {int(one): int(one) for one in first}

    def root(group: int) -> int:
        while above[group] != group:
            above[group] = above[above[group]]
            group = above[group]
        return group

    of_source: dict[str, int] = {}
    groups = [int(one) for one in first]
    for group, row in zip(groups, rows, strict=True):
        if row.source:
            other = of_source.setdefault(row.source, group)
            one, two = root(group), root(other)
            above[max(one, two)] = min(one, two)
    return [root(group) for group in groups]


def _lot(seed: int, group: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{group}".encode(), digest_size=8).digest()
