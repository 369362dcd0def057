"""The reference says everything that is there, and nothing that is not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from noria.config import variables
from tools.reference import PAGES, VARIABLES, pages, tables

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "noria").rglob("*.py"))
CODE = re.compile(r"[a-z]+(_[a-z]+)+").fullmatch
INTERNAL = {"NORIA_APP", "NORIA_ENGINE_SECRET"}
"""Variables that noria's processes pass to each other."""


@pytest.mark.parametrize("name", pages())
def test_page_is_what_the_code_says(name):
    assert (PAGES / name).read_text() == pages()[name], "run: python -m tools.reference"


def test_every_setting_says_what_it_means():
    silent = [
        f"{table.header} {setting.name}"
        for table in tables()
        for setting in table.settings
        if not setting.meaning
    ]
    assert not silent
    assert all(table.meaning for table in tables())


def test_every_variable_is_documented():
    used = set()
    for path in SOURCES:
        used |= set(re.findall(r"\bNORIA_[A-Z_]*[A-Z]\b", path.read_text()))
    used = {name for name in used if not re.fullmatch(r"NORIA_(SECTION|API_KEY)?", name)}
    assert used - set(VARIABLES) - set(variables()) - INTERNAL == set()


def test_every_option_is_explained():
    text = pages()["cli.md"]
    assert not re.findall(r"^\| `[^|]+` \|\s*\|", text, re.M)


def codes() -> dict[str, set[int]]:
    """The codes of ApiError and of failures of an upstream server, with their statuses."""
    found: dict[str, set[int]] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            texts = [
                arg.value
                for arg in node.args
                if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
            ]
            if name == "ApiError" and len(node.args) > 1:
                status = node.args[0]
                values = {status.value} if isinstance(status, ast.Constant) else set()
                code = node.args[1]
                if isinstance(code, ast.Constant):
                    found.setdefault(code.value, set()).update(values)
                elif isinstance(code, ast.BoolOp):
                    found.setdefault(code.values[-1].value, set())
            elif name in ("UpstreamFailure", "fail", "_too_many") and texts and CODE(texts[0]):
                found.setdefault(texts[0], {429} if name == "_too_many" else set())
    return found


def test_every_error_code_is_in_the_table():
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", (ROOT / "docs/errors.md").read_text(), re.M)
    table = {code: {int(status) for status in re.findall(r"\d{3}", said)} for code, said in rows}
    known = codes()
    assert set(known) - set(table) == set()
    assert set(table) - set(known) == set()
    wrong = {code: known[code] for code in known if not known[code] <= table[code]}
    assert wrong == {}


def test_every_page_is_in_the_index():
    index = (ROOT / "docs/index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        if page.name != "index.md":
            assert f"({page.name})" in index


def test_every_decision_is_in_its_index():
    index = (ROOT / "docs/decisions/README.md").read_text()
    for page in (ROOT / "docs/decisions").glob("*.md"):
        if page.name != "README.md":
            assert f"({page.name})" in index
