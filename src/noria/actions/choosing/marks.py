"""What the words of a request speak of: machines, accelerators, places, times, money."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from noria.actions.choosing.vocabulary import PROVIDERS, Vocabulary
from noria.actions.choosing.words import Word, number_at

__all__ = ["Kind", "Mark", "mark_words"]


class Kind(enum.Enum):
    """What a mark is about."""

    NUMBER = enum.auto()
    MACHINE = enum.auto()
    ACCELERATOR = enum.auto()
    ANY_ACCELERATOR = enum.auto()
    TYPE = enum.auto()
    FAMILY = enum.auto()
    REGION = enum.auto()
    ANYWHERE = enum.auto()
    PROVIDER = enum.auto()
    ACCELERATOR_MEMORY = enum.auto()
    MEMORY = enum.auto()
    VCPUS = enum.auto()
    SECONDS = enum.auto()
    MONEY = enum.auto()
    EACH = enum.auto()
    TOTAL = enum.auto()
    UNKNOWN_REGION = enum.auto()
    UNKNOWN_TYPE = enum.auto()
    UNKNOWN_ACCELERATOR = enum.auto()
    UNCLEAR = enum.auto()
    AND = enum.auto()
    OR = enum.auto()
    AFTERWARDS = enum.auto()


@dataclass(frozen=True, slots=True)
class Mark:
    """Some words of a request, and what they say."""

    kind: Kind
    value: Any
    first: int
    """The place of its first word."""
    last: int
    joined: bool = False
    """Of a number: one word with what follows, as in `8xA100`."""
    many: bool = False
    """Of a machine: more than one."""


_MACHINES = {
    "vm", "machine", "instance", "server", "node", "box", "host", "computer", "workstation",
    "virtual-machine",
}  # fmt: skip
_ANY = {"gpu", "accelerator", "card", "chip"}
_AFTER_ACCELERATOR = _ANY | {"tensor", "core", "nvidia", "sxm", "pcie"}
_CPUS = {"vcpu", "cpu", "core", "vcore"}
_GIB = {"gb": 1, "gib": 1, "g": 1, "gigabyte": 1, "gigabytes": 1, "tb": 1024, "tib": 1024}
_SECONDS = {
    "second": 1, "sec": 1, "s": 1, "minute": 60, "min": 60, "m": 60, "hour": 3600, "hr": 3600,
    "h": 3600, "day": 86400, "d": 86400, "week": 604800,
}  # fmt: skip
_DOLLARS = {"usd", "dollar", "dollars", "bucks"}
_DISK = {"disk", "storage", "ssd", "nvme", "bandwidth", "network", "ebs", "volume"}
_NEGATIONS = {
    "not", "except", "without", "never", "avoid", "no", "unless", "instead", "excluding", "neither",
    "nor", "don", "dont", "isn", "isnt",
}  # fmt: skip
_ANYWHERE = {"anywhere", "wherever", "cheapest", "cheaply"}
_EACH = {"each", "apiece", "every"}
_TOTALS = {"total", "altogether", "overall", "across", "combined", "between"}
_THEN = {"then", "afterwards", "afterward", "after", "before", "once", "when"}
_IN = {"in", "at", "from", "inside"}
_NO_PLACES = {
    "parallel", "order", "production", "prod", "staging", "total", "all", "case", "general",
    "the", "my", "our", "a", "an", "one", "background", "addition", "advance", "least", "most",
    "sequence", "cluster", "time", "once", "this", "that", "any", "which", "what", "minutes",
    "hours", "days", "future", "house", "group", "pairs", "training", "vpc", "kubernetes", "k8s",
    "region", "zone", "your", "their", "test", "testing", "dev", "development",
}  # fmt: skip
_REGION = re.compile(r"[a-z]{2,}(?:-[a-z]+){1,3}-?\d+[a-z]?|[a-z]+-[a-z]+\d+(?:-[a-z])?")
_TYPE = re.compile(
    r"[a-z]+\d[a-z0-9-]*\.(?:metal|\d*x?large|nano|micro|small|medium|[a-z0-9-]+)"
    r"|standard_\w+|[a-z]\d+-(?:\w+gpu|standard|highmem|highcpu)-\d+g?"
)
_LIKE_ACCELERATOR = re.compile(r"(?=.*\d)[a-z]{1,8}\d{1,4}[a-z]{0,3}s?")
_BARE_ACCELERATORS = {"tpu", "trainium", "inferentia", "gaudi", "npu", "fpga", "ipu", "asic"}
_GLUED = re.compile(r"(\d+(?:\.\d+)?)(gb|gib|tb|tib|h|hr|hrs|min|m|d|k|vcpus?|cpus?)")
_MOST_HOURLY = {"hour", "hr", "h"}


def mark_words(words: list[Word], vocabulary: Vocabulary) -> list[Mark]:
    """Mark every word that is understood, in the order of the words."""
    marker = _Marker(words, vocabulary)
    while marker.at < len(words):
        marker.step()
    return marker.marks


class _Marker:
    def __init__(self, words: list[Word], vocabulary: Vocabulary) -> None:
        self.words = words
        self.vocabulary = vocabulary
        self.marks: list[Mark] = []
        self.at = 0

    def low(self, offset: int = 0) -> str:
        place = self.at + offset
        return self.words[place].low if 0 <= place < len(self.words) else ""

    def singular(self, offset: int = 0) -> str:
        low = self.low(offset)
        return {"boxes": "box", "gpus": "gpu", "hrs": "hr"}.get(low, low.removesuffix("s"))

    def mark(self, kind: Kind, value: Any, length: int = 1, **more: bool) -> None:
        self.marks.append(Mark(kind, value, self.at, self.at + length - 1, **more))
        self.at += length

    def step(self) -> None:
        if not (self._name() or self._number() or self._small_word()):
            self.at += 1

    # Names

    def _name(self) -> bool:
        low, known = self.low(), self.vocabulary
        if low in known.regions:
            self.mark(Kind.REGION, known.regions[low])
        elif low in known.types:
            self.mark(Kind.TYPE, known.types[low])
        elif found := known.accelerator(low):
            self._accelerator(found)
        elif low in known.families:
            self.mark(Kind.FAMILY, low)
        elif low in PROVIDERS and self.low(1) not in ("tpu", "tpus"):
            self.mark(Kind.PROVIDER, PROVIDERS[low])
        elif _TYPE.fullmatch(low):
            self.mark(Kind.UNKNOWN_TYPE, low)
        elif _REGION.fullmatch(low):
            self.mark(Kind.UNKNOWN_REGION, low)
        else:
            return self._split_name() or self._noun()
        return True

    def _split_name(self) -> bool:
        """A known name that was written with gaps: `rtx pro 6000`. `us west 2` is only near one."""
        for length in (4, 3, 2):
            parts = [self.low(offset) for offset in range(length)]
            name = "-".join(parts)
            if not all(parts):
                continue
            if name in self.vocabulary.regions:
                self.mark(Kind.UNKNOWN_REGION, name, length)
                return True
            if found := self.vocabulary.accelerator(name):
                self.mark(Kind.ACCELERATOR, found, length)
                return True
        return False

    def _accelerator(self, name: str) -> None:
        length = 1
        while self.singular(length) in _AFTER_ACCELERATOR:
            length += 1
        self.mark(Kind.ACCELERATOR, name, length)

    def _noun(self) -> bool:
        low, one = self.low(), self.singular()
        if low == "virtual" and self.singular(1) == "machine":
            self.mark(Kind.MACHINE, None, 2, many=self.low(1).endswith("s"))
        elif one in _MACHINES:
            self.mark(Kind.MACHINE, None, many=low.endswith("s"))
        elif one in _ANY:
            self.mark(Kind.ANY_ACCELERATOR, None)
        else:
            return False
        return True

    # Numbers

    def _number(self) -> bool:
        if glued := _GLUED.fullmatch(self.low()):
            self._measure(Decimal(glued[1]), glued[2], 1)
            return True
        if self.low() in ("$", "€", "£"):
            return self._money_sign()
        found = number_at(self.words, self.at)
        if found is None:
            return False
        number, length = found
        after = self.at + length
        noun = self.low(length)
        joined = self.words[after - 1].joined
        if noun in ("x", "×", "times") and after + 1 < len(self.words):
            self.mark(Kind.NUMBER, number, length, joined=True)
            self.at += 1
        elif self._is_unit(noun) and not (noun in ("m", "s", "g") and not joined):
            self._measure(number, noun, length + 1)
        elif noun in _DOLLARS:
            self._money(number, length + 1)
        elif self._is_accelerator_like(length):
            self.mark(Kind.NUMBER, number, length, joined=joined)
            self.mark(Kind.UNKNOWN_ACCELERATOR, self.low())
        else:
            self.mark(Kind.NUMBER, number, length, joined=joined)
        return True

    def _is_unit(self, noun: str) -> bool:
        one = noun.removesuffix("s") or noun
        return noun in _GIB or one in _SECONDS or one in _CPUS

    def _is_accelerator_like(self, offset: int) -> bool:
        low = self.low(offset)
        name = bool(_LIKE_ACCELERATOR.fullmatch(low)) and low not in self.vocabulary.families
        name = name or self.singular(offset) in _BARE_ACCELERATORS
        known = self.vocabulary.accelerator(low) or low in self.vocabulary.types
        return name and not known and number_at(self.words, self.at + offset) is None

    def _measure(self, number: Decimal, unit: str, length: int) -> None:
        one = unit.removesuffix("s") or unit
        if unit in _GIB:
            self._memory(number * _GIB[unit], length)
        elif one in _CPUS:
            self.mark(Kind.VCPUS, number, length)
        elif self.low(-1) in ("for", "about", "only", "lasting"):
            self.mark(Kind.SECONDS, int(number * _SECONDS[one]), length)
        elif self.low(-1) in ("per", "every", "/") or (number == 1 and self.low(length) == ""):
            self.at += length
        else:
            self.mark(Kind.UNCLEAR, None, length)

    def _memory(self, gib: Decimal, length: int) -> None:
        following = [self.low(length + offset) for offset in range(3)]
        if set(following) & _DISK:
            self.mark(Kind.UNCLEAR, None, length + 1)
            return
        beside = self.marks[-1] if self.marks else None
        after_one = (
            beside is not None
            and beside.kind in (Kind.ACCELERATOR, Kind.ANY_ACCELERATOR)
            and self.at - beside.last <= 2
            and "ram" not in following
        )
        name = next((low for low in following if low not in ("of", "nvidia", "vram")), "")
        before_one = self.vocabulary.accelerator(following[0]) or (
            self.vocabulary.accelerator(name) and following[0] in ("nvidia", "")
        )
        if after_one or before_one or "vram" in following:
            self.mark(Kind.ACCELERATOR_MEMORY, gib, length)
        else:
            self.mark(Kind.MEMORY, gib, length)
        while self.low() in ("of", "memory", "ram", "vram"):
            self.at += 1

    def _money_sign(self) -> bool:
        if self.at + 1 >= len(self.words):
            return False
        self.at += 1
        found = number_at(self.words, self.at)
        self.at -= 1
        if found is None:
            return False
        self._money(found[0], found[1] + 1)
        return True

    def _money(self, number: Decimal, length: int) -> None:
        """A price is for an hour: of anything else it is not known what it means."""
        unit = [self.low(length), self.singular(length + 1)]
        if unit[0] in ("per", "an", "a") and unit[1] in _MOST_HOURLY:
            self.mark(Kind.MONEY, number, length + 2)
        elif self.singular(length) in _MOST_HOURLY or self.low(length) == "hourly":
            self.mark(Kind.MONEY, number, length + 1)
        else:
            self.mark(Kind.UNCLEAR, None, length)

    # What binds the others together

    def _small_word(self) -> bool:
        low = self.low()
        kinds = (
            (_NEGATIONS, Kind.UNCLEAR), (_ANYWHERE, Kind.ANYWHERE), (_EACH, Kind.EACH),
            (_TOTALS, Kind.TOTAL), (_THEN, Kind.AFTERWARDS), ({"and", "plus"}, Kind.AND),
            ({"or"}, Kind.OR),
        )  # fmt: skip
        for names, kind in kinds:
            if low in names:
                self.mark(kind, low)
                return True
        if low == "per" and self.singular(1) in _MACHINES:
            self.mark(Kind.EACH, low, 2)
            return True
        if low in ("any", "whichever") and self.low(1) in ("region", "zone", "place"):
            self.mark(Kind.ANYWHERE, low, 2)
            return True
        if low in _IN:
            return self._place()
        if low in ("with", "using", "of") and self._is_accelerator_like(1):
            self.at += 1
            self.mark(Kind.UNKNOWN_ACCELERATOR, self.low())
            return True
        return False

    def _place(self) -> bool:
        """After `in`, a word that is no known name and no ordinary one is meant as a place."""
        offset = 2 if self.low(1) in ("the", "region", "aws") else 1
        low = self.low(offset)
        if not low or self._is_known(offset) or low in _NO_PLACES:
            return False
        self.at += offset
        self.mark(Kind.UNKNOWN_REGION, low)
        return True

    def _is_known(self, offset: int) -> bool:
        low, known = self.low(offset), self.vocabulary
        return bool(
            low in known.names
            or known.accelerator(low)
            or low in PROVIDERS
            or self.singular(offset) in _MACHINES | _ANY
            or number_at(self.words, self.at + offset)
            or _GLUED.fullmatch(low)
            or any(
                "-".join(self.low(offset + more) for more in range(length)) in known.regions
                for length in (2, 3, 4)
            )
            or _REGION.fullmatch(low)
        )
