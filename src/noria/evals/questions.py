"""Question sets: what contestants are asked, turn by turn, and right answers where there are any.

A line of a file is an object in MT-bench's form: `question_id`, `category`, `turns`, and perhaps
`reference` (one text for each turn). References may also stand in a file of their own, in the form
of MT-bench's reference answers; each set of them has a version, since old ones were wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from noria.errors import ConfigError
from noria.evals.lines import objects_of, read_file
from noria.evals.marked import label_of_row
from noria.types import Label

__all__ = ["Question", "Questions", "read_questions", "read_references", "shipped_questions"]


@dataclass(frozen=True, slots=True)
class Question:
    """One question of one or more turns."""

    id: str
    turns: tuple[str, ...]
    category: str = ""
    reference: tuple[str, ...] = ()
    """The right answer to each turn; empty where there is no single one."""
    label: Label = Label.PUBLIC
    """Whoever is asked must be cleared for it."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """All that the line says."""


@dataclass(frozen=True, slots=True)
class Questions:
    """A set of questions, and which ones they are."""

    name: str
    questions: tuple[Question, ...]
    digest: str
    """The SHA-256 of the file."""
    references: str | None = None
    """The version of the references: the file they come from and the beginning of its SHA-256."""

    def __len__(self) -> int:
        return len(self.questions)

    def __iter__(self) -> Iterator[Question]:
        return iter(self.questions)

    def sample(self, number: int) -> Questions:
        """So many of them, each category in its share, always the same ones."""
        if number >= len(self.questions):
            return self
        by_category: dict[str, list[Question]] = {}
        for question in self.questions:
            by_category.setdefault(question.category, []).append(question)
        chosen: list[Question] = []
        rank = 0
        while len(chosen) < number:
            chosen += [one[rank] for one in by_category.values() if rank < len(one)]
            rank += 1
        kept = {one.id for one in chosen[:number]}
        return replace(self, questions=tuple(one for one in self.questions if one.id in kept))


def read_questions(path: Path, references: Path | None = None) -> Questions:
    """Read a question set.

    Args:
        path: JSON lines in MT-bench's form.
        references: reference answers in MT-bench's form, in place of those of the questions.

    Raises:
        ConfigError: a line cannot be used; the message names it.
    """
    raw = read_file(path)
    found: list[Question] = []
    known: set[str] = set()
    for number, row in objects_of(path, raw):
        question = _question(path, number, row)
        if question.id in known:
            raise ConfigError(f"{path}, line {number}: there are two questions {question.id}.")
        known.add(question.id)
        found.append(question)
    if not found:
        raise ConfigError(f"{path} holds no question.")
    version = path.name if any(one.reference for one in found) else None
    if references is not None:
        answers = read_references(references)
        found = [replace(one, reference=answers.get(one.id, ())) for one in found]
        version = f"{references.name} {hashlib.sha256(read_file(references)).hexdigest()[:12]}"
    return Questions(path.name, tuple(found), hashlib.sha256(raw).hexdigest(), version)


def read_references(path: Path) -> dict[str, tuple[str, ...]]:
    """The reference answers of a file, by the question's id.

    Raises:
        ConfigError: a line cannot be used; the message names it.
    """
    answers: dict[str, tuple[str, ...]] = {}
    for number, row in objects_of(path, read_file(path)):
        try:
            turns = row["choices"][0]["turns"]
            answers[str(row["question_id"])] = tuple(str(turn) for turn in turns)
        except (KeyError, IndexError, TypeError):
            raise ConfigError(
                f"{path}, line {number}: a reference has question_id and choices[0].turns."
            ) from None
    return answers


def shipped_questions() -> Questions:
    """The set of 80 questions in 8 categories that comes with noria."""
    return read_questions(Path(__file__).parent / "questions.jsonl")


def _question(path: Path, number: int, row: dict[str, Any]) -> Question:
    turns: Any = row.get("turns", row.get("question"))
    if isinstance(turns, str):
        turns = [turns]
    identity = row.get("question_id", row.get("id", number))
    problem = None
    if not isinstance(turns, list) or not turns:
        problem = "turns (or question) is missing: it must be a list of texts"
    elif not all(isinstance(turn, str) and turn.strip() for turn in turns):
        problem = "turns must be texts that say something"
    elif not isinstance(identity, (str, int)):
        problem = "question_id must be a text or a number"
    reference: Any = row.get("reference") or []
    if isinstance(reference, str):
        reference = [reference]
    if problem is None and not isinstance(reference, list):
        problem = "reference must be a list of texts, one for each turn"
    if problem is not None:
        raise ConfigError(f"{path}, line {number}: {problem}.")
    return Question(
        str(identity),
        tuple(turns),
        str(row.get("category") or ""),
        tuple("" if one is None else str(one) for one in reference),
        label_of_row(path, number, row)[0],
        row,
    )
