"""Names of operations: what documents call them, as words that a call can have."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

__all__ = ["Names", "clean_name"]

_MOST = 64
_OTHER = re.compile(r"[^A-Za-z0-9_-]+")


def clean_name(text: str) -> str:
    """A name of letters, digits, dashes and underscores; a long one ends in its own hash."""
    name = _OTHER.sub("_", text).strip("_")
    if len(name) > _MOST:
        end = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name = f"{name[: _MOST - 9]}_{end}"
    return name


class Names:
    """Gives each operation a name of its own."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def take(self, text: str) -> str:
        """A name made of a text; a number stands behind one that is taken."""
        name = first = clean_name(text) or "operation"
        number = 2
        while name in self._taken:
            end = f"_{number}"
            name = f"{first[: _MOST - len(end)]}{end}"
            number += 1
        self._taken.add(name)
        return name
