"""Four numbers of how well calls are chosen, each with its interval: of sets and of traces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from noria.actions.evaluating.call import Call
from noria.statistics import Interval, wilson

__all__ = ["NUMBERS", "Counted", "Graded", "Official", "is_hallucinated"]

NUMBERS = {
    "exact_call": "the right functions with the right arguments, of the rows that want a call",
    "same_function": "the right functions, whatever the arguments, of the same rows",
    "hallucinated": "a name, an argument or a value of a closed list that no catalogue has, of all",
    "refused_rightly": "nothing called, of the rows in which nothing is to be called",
}
"""The numbers, and what each is a share of."""


@dataclass(frozen=True, slots=True)
class Graded:
    """What one answer was, as far as anybody knows: None where nothing says what is right."""

    row: str
    category: str
    exact: bool | None = None
    same_function: bool | None = None
    hallucinated: bool | None = None
    refused_rightly: bool | None = None
    official: bool | None = None
    """By the benchmark's own metric."""
    why: str = ""
    """What was wrong."""


@dataclass(frozen=True, slots=True)
class Official:
    """A benchmark's own metric."""

    name: str
    share: Interval
    rows: int
    gamed: str
    """How it can be gamed, in a sentence."""
    categories: Mapping[str, Interval] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As programs read it."""
        return {
            "name": self.name,
            **_interval(self.share, self.rows),
            "gamed": self.gamed,
            "categories": {name: _interval(one) for name, one in self.categories.items()},
        }


@dataclass(frozen=True, slots=True)
class Counted:
    """The four numbers of some answers."""

    rows: int
    exact_call: tuple[int, int]
    """How many, and of how many."""
    same_function: tuple[int, int]
    hallucinated: tuple[int, int]
    refused_rightly: tuple[int, int]

    @classmethod
    def of(cls, graded: Sequence[Graded]) -> Counted:
        """Count graded answers."""
        return cls(
            len(graded),
            _share(one.exact for one in graded),
            _share(one.same_function for one in graded),
            _share(one.hallucinated for one in graded),
            _share(one.refused_rightly for one in graded),
        )

    def intervals(self) -> dict[str, Interval | None]:
        """Each number with its 95 % interval (Wilson); None where no row says anything about it."""
        found = {name: getattr(self, name) for name in NUMBERS}
        return {name: wilson(*pair) if pair[1] else None for name, pair in found.items()}

    def as_json(self) -> dict[str, Any]:
        """As programs read it."""
        numbers: dict[str, Any] = {}
        for name, interval in self.intervals().items():
            count, total = getattr(self, name)
            shown = _interval(interval, total) if interval is not None else None
            numbers[name] = shown and shown | {"count": count}
        return {"rows": self.rows, **numbers}


def _interval(interval: Interval, of: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "value": interval.value,
        "lower": interval.lower,
        "upper": interval.upper,
    }
    return found if of is None else found | {"of": of}


def _share(found: Iterable[bool | None]) -> tuple[int, int]:
    known = Counter(one for one in found if one is not None)
    return known[True], known.total()


def is_hallucinated(calls: Iterable[Call], functions: Iterable[Mapping[str, Any]]) -> str | None:
    """Whether a call names what no catalogue has: a function, an argument, a listed value.

    Args:
        calls: what was called.
        functions: name and `parameters` (a JSON schema of an object) of what there is.

    Returns:
        What is nowhere, else None.
    """
    known = {one["name"]: one.get("parameters") or {} for one in functions}
    for call in calls:
        if call.name not in known:
            return f"{call.name} is no function"
        properties = known[call.name].get("properties")
        if not isinstance(properties, Mapping):
            continue
        for name, value in call.arguments.items():
            if name not in properties:
                return f"{call.name} has no argument {name}"
            closed = properties[name].get("enum") if isinstance(properties[name], dict) else None
            if isinstance(closed, list) and not _is_listed(value, closed):
                return f"{value!r} is none of the values of {name}"
    return None


def _is_listed(value: Any, closed: list[Any]) -> bool:
    """Of a list each item must be listed; an object is the output of another call."""
    if isinstance(value, list):
        return all(_is_listed(one, closed) for one in value)
    return isinstance(value, dict) or value in closed
