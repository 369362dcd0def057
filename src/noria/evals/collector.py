"""From rows to battles: columns, reasons to drop a row, and rows that came twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from noria.evals.battles import LABELS, Battles, Selection

__all__ = ["Chunk", "Codes", "Collector"]

_MISSING, _UNKNOWN = -1, -2
_NOTHING = hash(None)
_MILLISECONDS = 1e11
"""A time beyond, in the year 5138 as seconds, is one in milliseconds."""
_SEED = np.uint64(0x2545F4914F6CDD1D)


class Codes(dict[Any, int]):
    """Numbers for names in the order that they are first met; -1 for what is not a name."""

    def __missing__(self, name: object) -> int:
        if not isinstance(name, str) or not name.strip():
            return _MISSING
        self[name] = code = len(self)
        return code


class _Labels(dict[Any, int]):
    def __missing__(self, label: object) -> int:
        return _MISSING if label is None or label == "" else _UNKNOWN


class Chunk(Protocol):
    """Some rows, read by column. A field that a row lacks is None there."""

    def __len__(self) -> int: ...

    def codes(self, name: str, book: dict[Any, int]) -> NDArray[np.int32]:
        """What `book` gives for each value."""

    def hashes(self, name: str) -> NDArray[np.int64]:
        """The hash of each value, which is that of None where there is none."""

    def values(self, name: str) -> list[Any]:
        """The values themselves."""


class Collector:
    """Takes rows in chunks and keeps what a rating needs of them."""

    def __init__(
        self,
        selection: Selection | None = None,
        *,
        times: bool = False,
        propensity: bool = False,
        style: bool = False,
        clusters: bool = False,
    ) -> None:
        self.selection = selection or Selection()
        self.times = times or self.selection.by_time
        self.propensity = propensity
        self.style = style
        self.clusters = clusters
        self._models = Codes()
        self._labels = _Labels(LABELS)
        self._dropped: Counter[str] = Counter()
        self._parts: dict[str, list[NDArray[Any]]] = {}

    def drop(self, reason: str, rows: int = 1) -> None:
        """Count rows that never became battles."""
        if rows:
            self._dropped[reason] += rows

    def add(self, chunk: Chunk) -> None:
        """Take rows in."""
        if not len(chunk):
            return
        self._keep("first", chunk.codes("model_a", self._models))
        self._keep("second", chunk.codes("model_b", self._models))
        self._keep("outcome", chunk.codes("winner", self._labels))
        for name in ("id", "judge", "question_id", "turn"):
            self._keep(name, chunk.hashes(name))
        hashes, instants = chunk.hashes("tstamp"), None
        if np.any(hashes == _NOTHING):
            there = hashes != _NOTHING
            hashes = np.where(there, hashes, chunk.hashes("timestamp"))
        self._keep("tstamp", hashes)
        if self.times or np.any(hashes != _NOTHING):
            instants = _instants(chunk)
            self._keep("fine", _finer_than_seconds(instants))
        else:
            self._keep("fine", np.zeros(len(chunk), bool))
        if self.clusters:
            self._keep("voter", chunk.hashes("voter"))
        for name in ("category", "language", "judge"):
            wanted = getattr(self.selection, name)
            if wanted is not None:
                self._keep(f"is_{name}", _equal(chunk.values(name), wanted))
        if self.times:
            self._keep("at", _seconds(instants or []))
        if self.propensity:
            self._keep("propensity", _numbers(chunk.values("propensity")))
        if self.style:
            self._keep("style", _styles(chunk))

    def battles(self) -> Battles:
        """What was taken in, less what cannot be used and what came twice."""
        columns = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        if not columns:
            nobody, nothing = np.zeros(0, np.int32), np.zeros(0)
            return Battles(
                [], nobody, nobody, nobody.astype(np.int8),
                at=nothing if self.times else None,
                weight=nothing if self.propensity else None,
                style=np.zeros((0, 2, 0)) if self.style else None,
                dropped=dict(self._dropped),
            )  # fmt: skip
        first, second, outcome = columns["first"], columns["second"], columns["outcome"]
        keep = np.ones(len(first), bool)
        for reason, bad in self._faults(columns):
            if hit := int(np.count_nonzero(bad & keep)):
                self.drop(reason, hit)
                keep &= ~bad
        chosen = self._chosen(columns)
        not_selected = int(np.count_nonzero(keep & ~chosen))
        keep &= chosen
        again = _seen_before(np.where(keep, _identity(columns), np.uint64(0)))
        self.drop("duplicate", int(np.count_nonzero(again)))
        keep &= ~again

        def kept(column: NDArray[Any]) -> NDArray[Any]:
            return column if keep.all() else column[keep]

        return Battles(
            list(self._models),
            kept(first),
            kept(second),
            kept(outcome).astype(np.int8),
            at=kept(columns["at"]) if self.times else None,
            weight=1 / kept(columns["propensity"]) if self.propensity else None,
            style=kept(columns["style"]) if self.style else None,
            clusters=_clusters(columns, keep) if self.clusters else (),
            dropped=dict(self._dropped),
            not_selected=not_selected,
        )

    def _keep(self, name: str, column: NDArray[Any]) -> None:
        self._parts.setdefault(name, []).append(column)

    def _faults(
        self, columns: Mapping[str, NDArray[Any]]
    ) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """The reasons to drop a row, in the order in which they are looked for."""
        first, second, outcome = columns["first"], columns["second"], columns["outcome"]
        yield "missing_field", (first < 0) | (second < 0) | (outcome == _MISSING)
        yield "unknown_label", outcome < 0
        yield "self_battle", first == second
        if self.selection.contestants is not None:
            # One more for -1, the last: rows without a name have been dropped by now.
            known = np.array([name in self.selection.contestants for name in self._models] + [True])
            yield "unknown_model", ~(known[first] & known[second])
        if self.times:
            yield "unreadable_time", ~np.isfinite(columns["at"]) & (columns["tstamp"] != _NOTHING)
        if self.propensity:
            chance = columns["propensity"]
            yield "bad_propensity", ~((chance > 0) & (chance <= 1))
        if self.style:
            yield "missing_conversation", np.isnan(columns["style"]).any(axis=(1, 2))

    def _chosen(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        chosen = np.ones(len(columns["first"]), bool)
        for name in ("is_category", "is_language", "is_judge"):
            if name in columns:
                chosen &= columns[name]
        if self.selection.since is not None:
            chosen &= columns["at"] >= self.selection.since
        if self.selection.until is not None:
            chosen &= columns["at"] < self.selection.until
        return chosen


def _identity(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.uint64]:
    """What a row is recognised by when it comes twice: its `id` and who judged it, or else its
    time with who judged what how. 0 for a row with neither, which cannot be told from another vote
    like it, nor can one whose time is a whole second, or a day, without the question."""
    identity = np.zeros(len(columns["first"]), np.uint64)
    timed, named = columns["tstamp"] != _NOTHING, columns["id"] != _NOTHING
    timed = timed & (columns["fine"] | (columns["question_id"] != _NOTHING))
    if timed.any():
        for name in ("tstamp", "judge", "question_id", "turn", "first", "second", "outcome"):
            identity = _mix(identity, columns[name].astype(np.uint64))
        identity[~timed] = 0
    if named.any():
        own = np.full_like(identity, _SEED)
        for name in ("id", "judge"):
            own = _mix(own, columns[name].astype(np.uint64))
        identity = np.where(named, own, identity)
    return identity


def _clusters(
    columns: Mapping[str, NDArray[Any]], keep: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], ...]:
    """Voters and questions as numbers, of the battles that are kept, where any of them repeats.
    Where no `voter` is named the judge is who voted. A battle without either is one of its own."""
    voter = np.where(columns["voter"] != _NOTHING, columns["voter"], columns["judge"])
    found = []
    for column in (voter[keep], columns["question_id"][keep]):
        different, place = np.unique(column, return_inverse=True)
        nameless = column == _NOTHING
        place[nameless] = len(different) + np.arange(int(nameless.sum()))
        if 1 < len(np.unique(place)) < len(place):
            found.append(place.astype(np.intp))
    return tuple(found)


def _mix(state: NDArray[np.uint64], value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ value) * np.uint64(0x9E3779B97F4A7C15)
    return state ^ (state >> np.uint64(29))


def _seen_before(identity: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Marks each row whose identity an earlier row has."""
    again = np.zeros(len(identity), bool)
    ordered = np.sort(identity)
    if np.any((ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)):
        order = np.argsort(identity, kind="stable")
        ordered = identity[order]
        again[order[1:]] = (ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)
    return again


def _equal(values: list[Any], wanted: str) -> NDArray[np.bool_]:
    """Which values are the one that is wanted, or a list that holds it."""
    equal = (one == wanted or (isinstance(one, list) and wanted in one) for one in values)
    return np.fromiter(equal, bool, len(values))


def _numbers(values: list[Any]) -> NDArray[np.float64]:
    """Values as floats, nan for what is not a number."""
    if not set(map(type, values)) <= {int, float, type(None)}:
        values = [value if type(value) in (int, float) else None for value in values]
    try:
        return np.array(values, np.float64)
    except OverflowError:
        values = [None if type(value) is int and value.bit_length() > 64 else value
                  for value in values]  # fmt: skip
        return np.array(values, np.float64)


def _instants(chunk: Chunk) -> list[Any]:
    """When each vote was given: its `tstamp`, or its `timestamp` where it has none."""
    instants = chunk.values("tstamp")
    if any(one is None for one in instants):
        others = chunk.values("timestamp")
        instants = [
            other if one is None else one for one, other in zip(instants, others, strict=True)
        ]
    return instants


def _finer_than_seconds(instants: list[Any]) -> NDArray[np.bool_]:
    """Which times are so fine that two votes hardly share one by chance: those with a fraction of
    a second, milliseconds, and instants that have a type of their own."""

    def fine(value: Any) -> bool:
        if isinstance(value, (int, float)):
            return value != value // 1 or abs(value) >= _MILLISECONDS
        if isinstance(value, str):
            return "." in value
        return value is not None

    return np.fromiter(map(fine, instants), bool, len(instants))


def _seconds(values: list[Any]) -> NDArray[np.float64]:
    """Instants (seconds since the epoch, ISO 8601, datetimes) as seconds, nan if unreadable."""
    from datetime import UTC, datetime

    for place, value in enumerate(values):
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                continue
        if isinstance(value, datetime):
            values[place] = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return _numbers(values)


def _styles(chunk: Chunk) -> NDArray[np.float64]:
    """The measures of both answers of each row; nan where there is none."""
    from noria.evals.style import MEASURES, measure

    measured = np.full((len(chunk), 2, len(MEASURES)), np.nan)
    for side, name in enumerate(("conversation_a", "conversation_b")):
        for place, conversation in enumerate(chunk.values(name)):
            found = measure(conversation)
            if found is not None:
                measured[place, side] = found
    return measured
