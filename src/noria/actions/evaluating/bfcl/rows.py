"""Rows in BFCL's form: a question, functions, and the answers that are accepted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from noria.errors import ConfigError
from noria.evals.lines import objects_of, read_file

__all__ = ["BfclRow", "read_bfcl"]

_NUMBER = re.compile(r"_\d+(?:-\d+)*$")
_FILE = re.compile(r"^BFCL_v\d+_")
_OTHERS = ("multi_turn", "memory", "web_search", "format_sensitivity", "exec", "rest", "sql")
"""Categories that BFCL does not judge by its AST checker."""
_BESIDE = ".answers"
_ANSWERS = ("possible_answer", "possible_answers", "answers")


@dataclass(frozen=True, slots=True)
class BfclRow:
    """One row."""

    id: str
    category: str
    """`simple_python`, `parallel_multiple`, `live_irrelevance`, ..."""
    messages: tuple[Mapping[str, Any], ...]
    functions: tuple[Mapping[str, Any], ...]
    accepted: tuple[Mapping[str, Any], ...] | None
    """For each call its function and, for each argument, the values that are right; None where the
    row says only whether something is to be called at all."""

    @property
    def question(self) -> str:
        """What is asked last."""
        return str(self.messages[-1].get("content") or "") if self.messages else ""

    @property
    def language(self) -> str:
        """Of the values: `python`, `java` or `javascript`."""
        if "javascript" in self.category:
            return "javascript"
        return "java" if "java" in self.category else "python"

    @property
    def is_simple(self) -> bool:
        """One function and one call: that function is meant, whatever the answer's name is."""
        return not any(word in self.category for word in ("parallel", "multiple"))

    @property
    def wants_call(self) -> bool:
        """Whether anything is to be called."""
        return self.accepted is not None or "irrelevance" not in self.category

    def function(self, name: str) -> Mapping[str, Any] | None:
        """The description of a function."""
        return next((one for one in self.functions if one["name"] == name), None)


def read_bfcl(path: Path) -> Iterator[BfclRow]:
    """The rows of a file, or of all files of a folder whose categories the AST checker judges.

    The accepted answers stand in the row itself (`ground_truth`), in a file of the same name in a
    folder `possible_answer` beside it, as BFCL has them, or in `NAME.answers.jsonl` beside it.

    Raises:
        ConfigError: a file cannot be read, or a row is not of the form; it names file and row.
    """
    if path.is_dir():
        files = [
            file
            for file in sorted([*path.glob("*.json"), *path.glob("*.jsonl")])
            if not any(word in file.stem for word in _OTHERS) and not file.stem.endswith(_BESIDE)
        ]
        if not files:
            raise ConfigError(f"{path} has no files in BFCL's form.", "They are called *.json.")
        for file in files:
            yield from read_bfcl(file)
        return
    named = _FILE.sub("", path.stem)
    answers = _answers_beside(path)
    for place, row in enumerate(_objects(path), 1):
        yield _row(row, answers, named, f"{path}, row {place}")


def _objects(path: Path) -> list[dict[str, Any]]:
    """The rows of JSON lines, or of one JSON list."""
    text = read_file(path)
    if text.lstrip()[:1] == b"[":
        try:
            rows = orjson.loads(text)
        except orjson.JSONDecodeError as broken:
            raise ConfigError(f"{path} is not JSON: {broken}") from None
        if not all(isinstance(row, dict) for row in rows):
            raise ConfigError(f"{path} is not a list of objects.")
        return list(rows)
    return [row for _, row in objects_of(path, text)]


def _answers_beside(path: Path) -> dict[str, Any]:
    places = [path.parent / folder / path.name for folder in _ANSWERS]
    for beside in (*places, path.with_name(f"{path.stem}{_BESIDE}{path.suffix}")):
        if beside.is_file():
            return {str(row.get("id")): row.get("ground_truth") for row in _objects(beside)}
    return {}


def _row(row: Mapping[str, Any], answers: Mapping[str, Any], named: str, where: str) -> BfclRow:
    name = str(row.get("id") or where)
    category = str(row.get("category") or "")
    if not category:
        category = _NUMBER.sub("", name) if _NUMBER.search(name) else named
    functions = row.get("function", row.get("functions"))
    functions = [functions] if isinstance(functions, dict) else functions
    if not isinstance(functions, list) or not all(map(_is_function, functions)):
        raise ConfigError(
            f"{where} ({name}): function must be a list of functions with parameters."
        )
    truth = row.get("ground_truth", answers.get(name))
    if truth is None and "relevance" not in category:
        raise ConfigError(
            f"{where} ({name}) has no ground_truth.",
            "Put BFCL's folder possible_answer beside the file.",
        )
    accepted = None
    if truth and "relevance" not in category:
        truth = [truth] if isinstance(truth, dict) else truth
        if not all(isinstance(one, dict) and len(one) == 1 for one in truth):
            raise ConfigError(f"{where} ({name}): ground_truth must be a list of one-key objects.")
        accepted = tuple(truth)
    return BfclRow(name, category, _messages(row, where), tuple(functions), accepted)


def _is_function(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and isinstance(one.get("name"), str)
        and isinstance(one.get("parameters"), dict)
    )


def _messages(row: Mapping[str, Any], where: str) -> tuple[Mapping[str, Any], ...]:
    """The first turn: BFCL has a list of turns, each a list of messages."""
    asked = row.get("question")
    if isinstance(asked, str):
        return ({"role": "user", "content": asked},)
    if isinstance(asked, list) and asked:
        turn = asked[0] if isinstance(asked[0], list) else asked
        if all(isinstance(message, dict) for message in turn):
            return tuple(turn)
    raise ConfigError(f"{where}: question must be a text or a list of messages.")
