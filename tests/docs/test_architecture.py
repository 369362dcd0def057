"""The walk of a request in docs/architecture.md names what is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MOST_FILES = 28


def walk() -> list[tuple[Path, list[str]]]:
    part = PAGE.partition("<!-- walk -->")[2].partition("<!-- end of the walk -->")[0]
    found = []
    for line in part.splitlines():
        if re.match(r"\d+\. ", line):
            path, *names = re.findall(r"`([^`]+)`", line.partition(": ")[0])
            found.append((ROOT / "src" / "noria" / path, names))
    return found


def defined(path: Path) -> set[str]:
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names.add(node.name)
            for inner in node.body:
                if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    names.add(f"{node.name}.{inner.name}")
    return names


def test_each_step_of_the_walk_is_there() -> None:
    steps = walk()
    assert len(steps) >= 20
    for path, names in steps:
        assert names, path
        assert set(names) <= defined(path), path


def test_the_walk_enters_each_file_once() -> None:
    files = [path for path, _ in walk()]
    assert len(files) == len(set(files)) <= MOST_FILES


def test_every_package_has_its_floor() -> None:
    table = PAGE.partition("## One chat call")[0]
    named = set(re.findall(r"`(\w+)`", table))
    there = {path.parent.name for path in (ROOT / "src" / "noria").glob("*/__init__.py")}
    assert there <= named
