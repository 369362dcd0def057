"""What a request for machines requires, each part with the very words that say it.

A reader by rules: it takes what it surely understands. What it does not understand it names, so
that somebody can be asked, or a model; it never leaves a requirement out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Generic, TypeVar

from noria.actions.choosing.marks import Kind, Mark, mark_words
from noria.actions.choosing.vocabulary import Vocabulary
from noria.actions.choosing.words import Word, said, split_words
from noria.actions.operation import Source

__all__ = ["Requirements", "Unknown", "Wanted", "read_requirements"]

T = TypeVar("T")

_NANO = 1_000_000_000
_OTHER_VERBS = frozenset(
    [
        "terminate",
        "delete",
        "kill",
        "stop",
        "destroy",
        "remove",
        "list",
        "show",
        "describe",
        "reboot",
        "restart",
        "resize",
        "rename",
        "tag",
        "attach",
        "detach",
        "snapshot",
        "copy",
        "move",
        "upload",
        "download",
        "send",
        "email",
        "update",
        "modify",
        "count",
        "compare",
        "why",
        "how",
        "explain",
        "cancel",
        "resume",
        "pause",
        "hibernate",
    ]
)
"""A request with one of these wants something else than machines, or more than them."""
_THINGS = (Kind.MACHINE, Kind.TYPE, Kind.FAMILY, Kind.ACCELERATOR, Kind.ANY_ACCELERATOR,
           Kind.UNKNOWN_TYPE, Kind.UNKNOWN_ACCELERATOR)  # fmt: skip
_CARDS = (Kind.ACCELERATOR, Kind.ANY_ACCELERATOR, Kind.UNKNOWN_ACCELERATOR)
_TELLING = {
    Kind.TYPE, Kind.FAMILY, Kind.ACCELERATOR, Kind.UNKNOWN_TYPE, Kind.UNKNOWN_ACCELERATOR,
    Kind.REGION, Kind.VCPUS, Kind.MEMORY,
}  # fmt: skip
"""One of these, or a verb that starts machines, tells them from the servers and nodes that other
requests speak of."""
_STARTING = frozenset({"launch", "start", "spin", "provision", "rent", "boot", "lease"})
_MACHINES = (Kind.MACHINE, Kind.TYPE, Kind.FAMILY, Kind.UNKNOWN_TYPE)


@dataclass(frozen=True, slots=True)
class Wanted(Generic[T]):
    """A value that is required, and the words that require it."""

    value: T
    source: Source


@dataclass(frozen=True, slots=True)
class Unknown:
    """A name in the request that no offer knows."""

    kind: str
    """`region`, `instance type` or `accelerator`."""
    word: str
    near: tuple[str, ...] = ()
    """Names that are written almost so: offered, never taken instead."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What one group of machines must be."""

    count: Wanted[int] | None = None
    """How many machines."""
    accelerator: Wanted[str] | None = None
    accelerators: Wanted[int] | None = None
    """How many in each machine."""
    accelerators_in_all: Wanted[int] | None = None
    """How many in all machines together, where the request says that and not how many in each."""
    any_accelerator: bool = False
    """It must have one, of whatever name."""
    accelerator_memory_gib: Wanted[Decimal] | None = None
    instance_types: Wanted[tuple[str, ...]] | None = None
    """Any of these: one that was named, or those of a family."""
    regions: Wanted[tuple[str, ...]] | None = None
    """Any of these: `us-east-1 or us-west-2`."""
    anywhere: Wanted[str] | None = None
    """The request leaves the place open: `the cheapest`, `anywhere`."""
    provider: Wanted[str] | None = None
    memory_gib: Wanted[Decimal] | None = None
    vcpus: Wanted[Decimal] | None = None
    time_to_live_s: Wanted[int] | None = None
    price_hour_nano: Wanted[int] | None = None
    """The most that all together may cost an hour."""
    unknown: tuple[Unknown, ...] = ()
    unclear: tuple[str, ...] = ()
    """Words that change what is wanted and that no rule understands."""
    afterwards: bool = False
    """It is to be done after what stands before it."""


def read_requirements(text: str, vocabulary: Vocabulary) -> list[Requirements] | None:
    """What a request for machines requires: one entry for each group of machines.

    Args:
        text: the request.
        vocabulary: the names that the offers know.

    Returns:
        None where the request is about something else, or about machines and something else.
    """
    words = split_words(text, vocabulary.names)
    if any(word.low in _OTHER_VERBS for word in words):
        return None
    marks = mark_words(words, vocabulary)
    kinds = {mark.kind for mark in marks}
    starts = any(word.low in _STARTING for word in words)
    if not kinds & set(_THINGS) or not (starts or kinds & _TELLING):
        return None
    groups = [_Group(text, words, part, vocabulary).read() for part in _groups(marks)]
    return _with_shared_places(groups)


def _groups(marks: list[Mark]) -> list[list[Mark]]:
    """The marks, split at `and` and `then` where both sides speak of a number of things."""
    groups: list[list[Mark]] = [[]]
    for place, mark in enumerate(marks):
        joins = mark.kind in (Kind.AND, Kind.AFTERWARDS)
        if joins and _is_whole(groups[-1]) and _is_whole(_clause(marks[place + 1 :])):
            groups.append([mark] if mark.kind is Kind.AFTERWARDS else [])
        elif mark.kind is not Kind.AND:
            groups[-1].append(mark)
    return groups


def _clause(marks: Sequence[Mark]) -> list[Mark]:
    """The marks up to the next `and`."""
    end = next((at for at, mark in enumerate(marks) if mark.kind is Kind.AND), len(marks))
    return list(marks[:end])


def _is_whole(marks: list[Mark]) -> bool:
    kinds = {mark.kind for mark in marks}
    return Kind.NUMBER in kinds and bool(kinds & set(_THINGS))


def _with_shared_places(groups: list[Requirements]) -> list[Requirements]:
    """A group without a place shares that of the next one which has one, else of the last before:
    `two with A100s and two with H100s in us-east-1`."""
    shared: list[Requirements] = []
    for at, group in enumerate(groups):
        placed = group.regions or group.anywhere or any(u.kind == "region" for u in group.unknown)
        other = None
        if not placed:
            others = [*groups[at + 1 :], *reversed(groups[:at])]
            other = next((one for one in others if one.regions or one.anywhere), None)
        if other is not None:
            group = replace(group, regions=other.regions, anywhere=other.anywhere)
        if group.time_to_live_s is None:
            lasting = next((one.time_to_live_s for one in groups if one.time_to_live_s), None)
            group = replace(group, time_to_live_s=lasting)
        shared.append(group)
    return shared


@dataclass(slots=True)
class _Group:
    """Reads the marks of one group of machines."""

    text: str
    words: list[Word]
    marks: list[Mark]
    vocabulary: Vocabulary
    found: dict[str, Any] = field(default_factory=dict)
    unknown: list[Unknown] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    either: bool = False

    def read(self) -> Requirements:
        self.either = any(mark.kind is Kind.OR for mark in self.marks)
        for mark in self.marks:
            self._name(mark)
        self._counts()
        return Requirements(**self.found, unknown=tuple(self.unknown), unclear=tuple(self.unclear))

    def source(self, mark: Mark, other: Mark | None = None) -> Source:
        other = other or mark
        first, last = min(mark.first, other.first), max(mark.last, other.last)
        return said(self.text, self.words, first, last)

    def _name(self, mark: Mark) -> None:
        source = self.source(mark)
        match mark.kind:
            case Kind.ACCELERATOR:
                self._once("accelerator", mark.value, source)
            case Kind.ANY_ACCELERATOR:
                self.found["any_accelerator"] = True
            case Kind.TYPE:
                self._any_of("instance_types", (mark.value,), source)
            case Kind.FAMILY:
                members = tuple(sorted(self.vocabulary.families[mark.value]))
                self._any_of("instance_types", members, source)
            case Kind.REGION:
                self._any_of("regions", (mark.value,), source)
            case Kind.ANYWHERE:
                self.found["anywhere"] = Wanted(mark.value, source)
            case Kind.PROVIDER:
                self._once("provider", mark.value, source)
            case Kind.ACCELERATOR_MEMORY:
                self._once("accelerator_memory_gib", mark.value, source)
            case Kind.MEMORY:
                self._once("memory_gib", mark.value, source)
            case Kind.VCPUS:
                self._once("vcpus", mark.value, source)
            case Kind.SECONDS:
                self._once("time_to_live_s", mark.value, source)
            case Kind.MONEY:
                self._once("price_hour_nano", int(mark.value * _NANO), source)
            case Kind.UNKNOWN_REGION:
                self._missing("region", "regions", source.text)
            case Kind.UNKNOWN_TYPE:
                self._missing("instance type", "types", source.text)
            case Kind.UNKNOWN_ACCELERATOR:
                self._missing("accelerator", "accelerators", source.text)
            case Kind.UNCLEAR:
                following = min(mark.last + 3, len(self.words) - 1)
                self.unclear.append(said(self.text, self.words, mark.first, following).text)
            case Kind.AFTERWARDS:
                self.found["afterwards"] = True
            case _:
                pass

    def _missing(self, kind: str, names: str, word: str) -> None:
        low = word.lower().replace(" ", "-")
        self.unknown.append(Unknown(kind, word, tuple(self.vocabulary.near(low, names))))

    def _once(self, name: str, value: Any, source: Source) -> None:
        before = self.found.get(name)
        if before is None:
            self.found[name] = Wanted(value, source)
        elif before.value != value:
            self.unclear.append(f"{before.source.text} and {source.text}")

    def _any_of(self, name: str, values: tuple[str, ...], source: Source) -> None:
        before = self.found.get(name)
        if before is None:
            self.found[name] = Wanted(values, source)
        elif self.either:
            both = Source("request", f"{before.source.text} or {source.text}", source.where)
            self.found[name] = Wanted(tuple(dict.fromkeys(before.value + values)), both)
        elif before.value != values:
            self.unclear.append(f"{before.source.text} and {source.text}")

    # Which number counts what

    def _counts(self) -> None:
        things = [
            mark
            for mark in self.marks
            if mark.kind in (Kind.NUMBER, Kind.EACH, Kind.TOTAL, *_THINGS)
        ]
        machines = cards = None
        free: list[Mark] = []
        machine = card = None
        for place, mark in enumerate(things):
            if mark.kind is Kind.NUMBER:
                free.append(mark)
            elif mark.kind in _CARDS:
                card = card or mark
                machine_next = self._follows(things, place, _MACHINES)
                if not free or mark.first - free[-1].last > 3:
                    free.clear()
                elif machine_next and len(free) == 1 and not free[0].joined:
                    pass  # `four A100 machines`: the number waits for the machines.
                else:
                    cards = cards or (free.pop(), mark)
                    if free and free[-1].joined and not machine_next:
                        machines = machines or (free.pop(), mark)  # `4 x 8 A100s`
            elif mark.kind in _MACHINES:
                machine = machine or mark
                if free and machines is None and mark.first - free[-1].last <= 5:
                    machines = (free.pop(), mark)
                free.clear()
        counted = [pair[0] for pair in (machines, cards) if pair is not None]
        self._leave_no_number(counted)
        self._machines(machines, machine)
        self._cards(cards, card, machine, things)

    def _leave_no_number(self, counted: list[Mark]) -> None:
        """A number that counts nothing known is asked about, so that none is passed over."""
        for mark in self.marks:
            if mark.kind is Kind.NUMBER and mark not in counted and mark.value != 1:
                following = min(mark.last + 2, len(self.words) - 1)
                self.unclear.append(said(self.text, self.words, mark.first, following).text)

    def _follows(self, things: list[Mark], place: int, kinds: tuple[Kind, ...]) -> bool:
        """Whether the next thing is of these kinds and stands beside this one."""
        if place + 1 >= len(things):
            return False
        following = things[place + 1]
        return following.kind in kinds and following.first - things[place].last == 1

    def _machines(self, counted: tuple[Mark, Mark] | None, machine: Mark | None) -> None:
        if counted is None:
            if machine is not None and machine.kind is Kind.MACHINE and not machine.many:
                self.found["count"] = Wanted(1, self.source(machine))
            return
        number, thing = counted
        value = number.value
        if value != int(value) or value < 1:
            self.unclear.append(self.source(number, thing).text)
            return
        self.found["count"] = Wanted(int(value), self.source(number, thing))

    def _cards(
        self,
        counted: tuple[Mark, Mark] | None,
        card: Mark | None,
        machine: Mark | None,
        things: list[Mark],
    ) -> None:
        if counted is None:
            return
        number, thing = counted
        value = number.value
        if value != int(value) or value < 1:
            self.unclear.append(self.source(number, thing).text)
            return
        wanted = Wanted(int(value), self.source(number, thing))
        kinds = {mark.kind for mark in things}
        before = machine is not None and thing.last < machine.first and not number.joined
        spread = Kind.TOTAL in kinds or (before and machine is not None and self._on(machine))
        per_machine = Kind.EACH in kinds or (
            (machine is not None or "count" in self.found) and not spread
        )
        self.found["accelerators" if per_machine else "accelerators_in_all"] = wanted

    def _on(self, machine: Mark) -> bool:
        """`32 A100s on four machines`: the accelerators are those of all machines."""
        place = machine.first
        nearby = {word.low for word in self.words[max(0, place - 3) : place]}
        return bool(nearby & {"on", "over", "across"})
