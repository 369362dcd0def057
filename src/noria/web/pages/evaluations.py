"""Evaluations that were run, and one of them: means with intervals, then question by question,
where the contestants differ most first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from noria.errors import NotFound
from noria.types import Label
from noria.web.render import context_of, in_thread, key_of, must_be_admin, page

if TYPE_CHECKING:
    from noria.evals.evaluation.registry import Registered
    from noria.evals.evaluation.report import Report
    from noria.evals.evaluation.results import Results
    from noria.store import Database

__all__ = ["routes"]

_ROWS = 20


@dataclass(frozen=True, slots=True)
class Beside:
    """One question with the answers of two contestants."""

    question: str
    category: str
    left: dict[str, Any] | None
    right: dict[str, Any] | None
    left_score: float | None
    right_score: float | None
    failed: list[str]
    """Checks that passed for one of them only."""

    @property
    def asked(self) -> list[str]:
        """What was asked, turn by turn."""
        row = self.left or self.right
        return list(row.get("questions", ())) if row else []

    @property
    def apart(self) -> float:
        """How far they are from each other."""
        if self.left_score is None or self.right_score is None:
            return float(len(self.failed))
        return abs(self.left_score - self.right_score) + len(self.failed)


async def browse(request: Request) -> Response:
    """Every evaluation of this home."""
    must_be_admin(request)
    from noria.evals.evaluation.registry import list_evaluations

    found = await in_thread(list_evaluations, context_of(request).db)
    return page(request, "evaluations.html", {"found": found})


async def show(request: Request) -> Response:
    """One evaluation; `a` and `b` in the address name the contestants that are shown."""
    must_be_admin(request)
    identity = request.path_params["id"]
    one, report, beside, left, right = await in_thread(
        _read, context_of(request).db, identity, request.query_params, key_of(request).clearance
    )
    values = {
        "one": one, "report": report, "rows": beside[:_ROWS], "total": len(beside),
        "left": left, "right": right,
    }  # fmt: skip
    return page(request, "evaluation.html", values)


def _read(
    db: Database, identity: str, query: QueryParams, clearance: Label
) -> tuple[Registered, Report, list[Beside], str, str]:
    from noria.evals.evaluation.folder import Folder
    from noria.evals.evaluation.registry import find_evaluation
    from noria.evals.evaluation.report import report_of
    from noria.evals.evaluation.results import read_results

    one = find_evaluation(db, identity)
    if not one.there:
        raise NotFound(
            f"The folder {one.folder} of this evaluation is gone.",
            "Run it again, or put the folder back.",
        )
    folder = Folder.open(one.folder)
    results = read_results(folder)
    report = report_of(results)
    names = [line.contestant for line in report.lines]
    left = query.get("a", "")
    left = left if left in names else names[0]
    right = query.get("b", "")
    right = right if right in names and right != left else next(
        (name for name in names if name != left), left
    )  # fmt: skip
    beside = _side_by_side(db, folder, results, left, right, clearance)
    return one, report, sorted(beside, key=lambda row: -row.apart), left, right


def _side_by_side(
    db: Database, folder: Any, results: Results, left: str, right: str, clearance: Label
) -> list[Beside]:
    from noria.store import marks_of

    chosen = [row for row in folder.rows("answers") if row["contestant"] in (left, right)]
    marks = marks_of(db, [trace for row in chosen for trace in row["traces"] if trace])
    answers: dict[str, dict[str, dict[str, Any]]] = {}
    for row in chosen:
        mark = max((marks[one] for one in row["traces"] if one in marks), default=Label.PUBLIC)
        if mark > clearance:
            why = f"Something {mark} was read for it; this key is cleared for {clearance}."
            row = row | {"error": why}
        answers.setdefault(row["question_id"], {})[row["contestant"]] = row
    rows = []
    for question, both in answers.items():
        checks = []
        for name, passed in results.checks[left].items():
            other = results.checks[right].get(name, {})
            if question in passed and passed[question] != other.get(question, passed[question]):
                checks.append(name)
        rows.append(
            Beside(
                question,
                results.categories.get(question, ""),
                both.get(left),
                both.get(right),
                results.scores[left].get(question),
                results.scores[right].get(question),
                checks,
            )
        )
    return rows


routes = [Route("/evaluations", browse), Route("/evaluations/{id}", show)]
