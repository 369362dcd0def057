"""One colour for each model and team, the same on every page.

The eight classes `s0` to `s7` stand in the style sheet, in shades that people who see few colours
can tell apart.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

__all__ = ["SHADES", "Palette"]

SHADES = 8


class Palette:
    """Gives names their shades.

    A name of the configuration has its place in the series; any other is placed by a checksum
    of it, or at the next place that is free.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = {name: place % SHADES for place, name in enumerate(sorted(set(known)))}

    def __call__(self, names: Iterable[str]) -> dict[str, str]:
        """The class of each name. To have the same ones on every page, give all names there
        are and not only those that are shown."""
        shades: dict[str, int] = {}
        for name in sorted(set(names), key=lambda name: (name not in self._known, name)):
            shade = self._known.get(name)
            if shade is None:
                shade = zlib.crc32(name.encode("utf-8", "surrogatepass")) % SHADES
            taken = set(shades.values())
            for step in range(SHADES):
                if (shade + step) % SHADES not in taken:
                    shade = (shade + step) % SHADES
                    break
            shades[name] = shade
        return {name: f"s{shade}" for name, shade in shades.items()}
