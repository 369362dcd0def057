"""What a piece of work asks for, and whether any machine has it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from noria.errors import NoriaError

__all__ = ["NotPlaceable", "Resources", "must_fit", "parse_bytes"]

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class NotPlaceable(NoriaError):
    """No machine has what a piece of work asks for."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What one piece of work needs for as long as it runs."""

    cpus: float = 1
    gpus: float = 0
    """Graphics processors, or a part of one."""
    memory: int = 0
    """Bytes; 0 where it does not matter."""
    custom: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Anything else that machines are said to have, by its name."""

    @classmethod
    def of(
        cls,
        cpus: float = 1,
        gpus: float = 0,
        memory: str | int | None = None,
        custom: Mapping[str, float] | None = None,
    ) -> Resources:
        """Read what was asked for.

        Raises:
            NoriaError: a figure cannot be used; the message names it.
        """
        for name, amount in {"cpus": cpus, "gpus": gpus, **(custom or {})}.items():
            if isinstance(amount, bool) or not isinstance(amount, int | float) or not amount >= 0:
                raise NoriaError(f"{name} must be a number from 0, not {amount!r}.")
        if gpus > 1 and gpus != int(gpus):
            raise NoriaError(f"gpus must be a whole number or a part of one, not {gpus!r}.")
        size = parse_bytes(memory) if memory is not None else 0
        return cls(cpus, gpus, size, MappingProxyType(dict(custom or {})))

    def table(self) -> dict[str, float]:
        """All of it by name."""
        found = {"cpus": self.cpus, "gpus": self.gpus, "memory": self.memory, **self.custom}
        return {name: amount for name, amount in found.items() if amount}


def parse_bytes(text: str | int) -> int:
    """Bytes from `"8GB"`, `"512MiB"` or a number.

    Raises:
        NoriaError: it is no amount of memory.
    """
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?\s*", str(text).upper())
    if found is None or (found[3] and not found[2]):
        raise NoriaError(f"memory must be an amount such as 8GB or 512MiB, not {text!r}.")
    return int(float(found[1]) * (_BINARY if found[3] else _UNITS)[found[2]])


def must_fit(wanted: Resources, machines: Iterable[Mapping[str, float]], where: str) -> None:
    """Make sure that one machine has all that is asked for, whether it is free now or not.

    Args:
        wanted: what is asked for.
        machines: what each has in all, by name.
        where: whose they are, for the message.

    Raises:
        NotPlaceable: none has it; the message says what the best one has.
    """
    asked = wanted.table()
    known = list(machines)
    if any(all(one.get(name, 0) >= amount for name, amount in asked.items()) for one in known):
        return
    for name, amount in asked.items():
        most = max((one.get(name, 0) for one in known), default=0)
        if most < amount:
            raise NotPlaceable(
                f"{_amount(name, amount)} asked for, but no machine of {where} has more than "
                f"{_amount(name, most)}.",
                "Ask for less, or add a machine that has it.",
            )
    raise NotPlaceable(
        f"No single machine of {where} has all of {', '.join(map(str, asked))} together.",
        "Ask for less, or add a machine that has it.",
    )


def _amount(name: str, amount: Any) -> str:
    if name == "memory":
        return f"{amount / 1e9:.3g} GB of memory"
    return f"{amount:g} {name}"
