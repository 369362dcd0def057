"""Real text with known answers: the descriptions of Debian's packages.

Each package has one line that says what it is, which serves as a question, and a long description,
which is the passage that answers it. `apt` brings them (about 16 MB) into a folder of the
benchmark's own; nothing on the machine is changed.
"""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Package:
    name: str
    line: str
    """What it is, in one line."""
    text: str
    """What it is, at length."""


def packages(folder: Path, count: int) -> list[Package]:
    """So many packages, no two with the same long description, in an order that is always the
    same. Those whose line is one of its own come with questions."""
    lists = folder / "apt"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    if not list(lists.glob("*Translation-en*")):
        options = (f"Dir::State::lists={lists}", "Acquire::Languages=en")
        subprocess.run(
            ["apt-get", "update", "-q", *(part for one in options for part in ("-o", one))],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    found: dict[str, Package] = {}
    for file in sorted(lists.glob("*Translation-en*")):
        text = subprocess.run(
            ["/usr/lib/apt/apt-helper", "cat-file", str(file)], check=True, capture_output=True
        ).stdout.decode()
        for stanza in text.split("\n\n"):
            package = _package(stanza)
            if package is not None:
                found.setdefault(package.text, package)
    chosen = sorted(found.values(), key=lambda package: package.name)
    random.Random(1).shuffle(chosen)
    return chosen[:count]


def questions(chosen: list[Package], count: int) -> list[Package]:
    """Packages whose line no other package has."""
    lines: dict[str, int] = {}
    for package in chosen:
        lines[package.line] = lines.get(package.line, 0) + 1
    alone = [package for package in chosen if lines[package.line] == 1]
    return alone[:count]


def _package(stanza: str) -> Package | None:
    name, line = "", ""
    body: list[str] = []
    for row in stanza.splitlines():
        if row.startswith("Package: "):
            name = row.removeprefix("Package: ")
        elif row.startswith("Description-en: "):
            line = row.removeprefix("Description-en: ")
        elif row.startswith(" "):
            body.append("" if row == " ." else row[1:])
    text = "\n".join(body).strip()
    return Package(name, line, text) if name and line and len(text) > 80 else None
