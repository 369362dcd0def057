"""Golden sets: rows of arguments that an application has to go on answering well.

A row of the file is a JSON object: the arguments of the function, and perhaps `id`, `category` and
`expected`, which the answer has to equal but for case and spaces.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from noria.errors import ApiError, ConfigError
from noria.evals.evaluation.answering import at_once, patiently
from noria.evals.evaluation.contestants import Answer, Contestant
from noria.evals.evaluation.folder import Folder
from noria.evals.lines import objects_of, read_file
from noria.evals.marked import label_of_row
from noria.tracing import CallContext, Trace
from noria.types import Label

if TYPE_CHECKING:
    from noria.gateway import Gateway
    from noria.store import Key

__all__ = ["ANSWERED", "EXPECTED", "Row", "answer_rows", "read_rows"]

ANSWERED, EXPECTED = "answered", "expected"
"""Two checks that every row has without anybody writing them: that there is an answer, and, where
the row says what is expected, that it is that."""
_OURS = ("id", "category", "expected")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a golden set."""

    id: str
    line: int
    arguments: Mapping[str, Any]
    category: str = ""
    expected: str | None = None
    label: Label = Label.PUBLIC
    """Of the run that the row comes from: whoever answers it must be cleared for it."""


def read_rows(path: Path) -> list[Row]:
    """Read a golden set.

    Raises:
        ConfigError: it cannot be read, or a line cannot be used; the message names it.
    """
    rows: list[Row] = []
    known: dict[str, int] = {}
    for number, fields in objects_of(path, read_file(path), "an object of arguments"):
        label, named = label_of_row(path, number, fields)
        ours = {*_OURS, *named}
        arguments = {name: value for name, value in fields.items() if name not in ours}
        given = fields.get("id")
        identity = (
            str(given)
            if given not in (None, "")
            else hashlib.sha256(_canonical(arguments)).hexdigest()[:12]
        )
        if identity in known:
            raise ConfigError(
                f"{path}: the lines {known[identity]} and {number} are the same row {identity}."
            )
        known[identity] = number
        expected = fields.get("expected")
        rows.append(
            Row(
                identity,
                number,
                arguments,
                str(fields.get("category") or ""),
                None if expected is None else str(expected),
                label,
            )
        )
    if not rows:
        raise ConfigError(f"{path} holds no row.")
    return rows


async def answer_rows(
    folder: Folder,
    rows: Sequence[Row],
    contestant: Contestant,
    *,
    gateway: Gateway,
    key: Key,
    repeats: int = 1,
    concurrency: int = 8,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Have every row answered that was not yet, with all checks of the application.

    Raises:
        ApiError: the budget is exhausted.
    """
    done = {(row["question_id"], row["repeat"]) for row in folder.rows("answers")}

    async def work(row: Row, repeat: int) -> None:
        line: dict[str, Any] = {
            "question_id": row.id, "category": row.category, "contestant": contestant.name,
            "repeat": repeat, "line": row.line,
            "questions": [orjson.dumps(row.arguments).decode()],
            "answers": [], "traces": [], "ms": [], "error": None, "label": str(row.label),
        }  # fmt: skip
        checks: dict[str, str] = {}

        async def once() -> Answer:
            trace = Trace(key)
            await gateway.labels.raise_to(trace, row.label)
            return await contestant.answer_row(row.arguments, CallContext(gateway, trace))

        try:
            answer = await patiently(once)
        except ApiError as refusal:
            if refusal.code == "budget_exhausted":
                raise
            line["reason"] = f"{refusal.code}: {refusal.message}"
            checks[ANSWERED] = "fail"
        else:
            line |= {"answers": [answer.text], "traces": [answer.trace_id], "ms": [answer.ms]}
            checks = {**answer.checks, ANSWERED: "pass"}
            if row.expected is not None:
                same = _plain(answer.text) == _plain(row.expected)
                checks[EXPECTED] = "pass" if same else "fail"
        folder.add("answers", line | {"checks": [checks]})
        progress()

    due = [
        (row, repeat) for repeat in range(repeats) for row in rows if (row.id, repeat) not in done
    ]
    await at_once(concurrency, due, work)


def _canonical(arguments: Mapping[str, Any]) -> bytes:
    return orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
