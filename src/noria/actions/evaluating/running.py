"""Running a set: every row answered as production answers, and counted."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from noria.actions.catalogue.bm25 import Bm25
from noria.actions.choosing.planner import Ask
from noria.actions.evaluating.apibench.metric import (
    GAMED as APIBENCH_GAMED,
)
from noria.actions.evaluating.apibench.metric import (
    Verdict,
    official_verdict,
    read_calls,
    same_call,
)
from noria.actions.evaluating.apibench.rows import ApiBench, ApiRow, is_apibench, read_apibench
from noria.actions.evaluating.asking import Answered, Shelf, answer, operation_of
from noria.actions.evaluating.bfcl import BfclRow, check_calls, read_bfcl
from noria.actions.evaluating.call import Call
from noria.actions.evaluating.counting import Counted, Graded, Official, is_hallucinated
from noria.actions.evaluating.report import CallReport
from noria.errors import ApiError, ConfigError
from noria.statistics import wilson

__all__ = ["Progress", "evaluate"]

Progress = Callable[[int, int], None]
"""Told of rows done, and of how many."""

T = TypeVar("T")
R = TypeVar("R")

_K = 5
_BFCL_GAMED = (
    "The functions are given with each question and texts are compared without case and "
    "punctuation, so the first function filled with the question's own words scores much; and who "
    "never calls anything is right on every row of irrelevance."
)


async def evaluate(
    path: Path,
    model: str,
    ask: Ask | None,
    *,
    sample: int | None = None,
    concurrency: int = 4,
    progress: Progress | None = None,
) -> CallReport:
    """Evaluate how well calls are chosen.

    Args:
        path: a file or folder in BFCL's or APIBench's form.
        model: who is asked, for the report.
        ask: asks the model. None: of APIBench what is retrieved first is the answer.
        sample: only so many rows, evenly spread over the set; always the same ones.
        concurrency: calls of the model at a time.
        progress: told how far it is.

    Raises:
        ConfigError: the set cannot be read, or it needs a model and there is none.
    """
    if not path.exists():
        raise ConfigError(f"There is no set {path}.", "Name a file or folder of rows.")
    shown = progress or (lambda done, of: None)
    if is_apibench(path):
        bench = read_apibench(path)
        return await _apibench(bench, model, ask, sample, concurrency, shown)
    if ask is None:
        raise ConfigError(
            f"{path} is in BFCL's form, which only a model can answer.", "Name one with --model."
        )
    rows = _spread(list(read_bfcl(path)), sample)
    return await _bfcl(path.stem, rows, model, ask, concurrency, shown)


def _spread(rows: list[T], sample: int | None) -> list[T]:
    if sample is None or sample >= len(rows):
        return rows
    return [rows[place * len(rows) // sample] for place in range(sample)]


async def _each(
    rows: Sequence[T],
    work: Callable[[T], Awaitable[R]],
    concurrency: int,
    progress: Progress,
) -> list[R | None]:
    """Answer all rows; None for one whose call of the model failed."""
    gate = asyncio.Semaphore(concurrency)
    done = 0

    async def one(row: T) -> R | None:
        nonlocal done
        async with gate:
            try:
                return await work(row)
            except ApiError as failure:
                if failure.status in (401, 403, 404) or failure.code == "budget_exhausted":
                    raise
                return None
            finally:
                done += 1
                progress(done, len(rows))

    return await asyncio.gather(*(one(row) for row in rows))


async def _bfcl(
    name: str,
    rows: Sequence[BfclRow],
    model: str,
    ask: Ask,
    concurrency: int,
    progress: Progress,
) -> CallReport:
    async def work(row: BfclRow) -> Answered:
        operations = tuple(operation_of(function) for function in row.functions)
        return await answer(row.question, Shelf(operations), ask)

    answers = await _each(rows, work, concurrency, progress)
    pairs = [(row, one or Answered()) for row, one in zip(rows, answers, strict=True)]
    graded = [_grade_bfcl(row, one.calls) for row, one in pairs]
    said = [_grade_bfcl(row, one.said) for row, one in pairs]
    by_category: dict[str, list[bool]] = defaultdict(list)
    for one in graded:
        by_category[one.category].append(bool(one.official))
    right = sum(bool(one.official) for one in graded)
    official = Official(
        "BFCL AST accuracy",
        wilson(right, len(rows)),
        len(rows),
        _BFCL_GAMED,
        {key: wilson(sum(found), len(found)) for key, found in sorted(by_category.items())},
    )
    return CallReport(
        name,
        "bfcl",
        model,
        Counted.of(graded),
        official,
        Counted.of(said),
        failed=answers.count(None),
        graded=tuple(graded),
    )


def _grade_bfcl(row: BfclRow, calls: Sequence[Call]) -> Graded:
    wrong = check_calls(row, calls)
    nowhere = is_hallucinated(calls, row.functions)
    if not row.wants_call:
        return Graded(
            row.id, row.category, None, None, nowhere is not None, not calls, wrong is None,
            wrong or "",
        )  # fmt: skip
    exact = same = None
    if row.accepted is not None:
        exact = wrong is None
        wanted = sorted(next(iter(one)) for one in row.accepted)
        same = sorted(call.name for call in calls) == wanted
    return Graded(
        row.id, row.category, exact, same, nowhere is not None, None, wrong is None,
        nowhere or wrong or "",
    )  # fmt: skip


async def _apibench(
    bench: ApiBench,
    model: str,
    ask: Ask | None,
    sample: int | None,
    concurrency: int,
    progress: Progress,
) -> CallReport:
    operations = bench.operations()
    index = Bm25([f"{one.summary} {one.documentation}" for one in operations])
    rows = _spread(list(bench.rows), sample)

    async def work(row: ApiRow) -> tuple[list[int], str]:
        places = index.best(row.question, _K)
        chosen = places[0] if places else None
        if ask is not None and places:
            found = tuple(operations[place] for place in places)
            made = await answer(row.question, Shelf(found), ask)
            names = {one.name: one.binding["place"] for one in found}
            chosen = names[made.calls[0].name] if made.calls else None
        return places, str(bench.apis[chosen]["api_call"]) if chosen is not None else ""

    answers = await _each(rows, work, concurrency, progress)
    graded, hits = [], {1: 0, _K: 0}
    for row, one in zip(rows, answers, strict=True):
        places, call = one or ([], "")
        calls = [str(bench.apis[place]["api_call"]) for place in places]
        for k in hits:
            hits[k] += any(same_call(row.call, other) for other in calls[:k])
        graded.append(_grade_api(bench, row, call))
    right = sum(bool(one.official) for one in graded)
    official = Official(
        "APIBench AST functionality accuracy", wilson(right, len(rows)), len(rows), APIBENCH_GAMED
    )
    return CallReport(
        bench.name,
        "apibench",
        model,
        Counted.of(graded),
        official,
        retrieved={k: found / len(rows) for k, found in hits.items()},
        failed=answers.count(None),
        graded=tuple(graded),
    )


def _grade_api(bench: ApiBench, row: ApiRow, call: str) -> Graded:
    """Ours: the very call. A call that is in the catalogue is no invention, whatever its domain."""
    exact = same_call(row.call, call)
    function = read_calls(call)[:1], read_calls(row.call)[:1]
    same = bool(function[0] and function[1]) and function[0][0].function == function[1][0].function
    known = not call or any(same_call(call, str(api.get("api_call"))) for api in bench.apis)
    verdict = official_verdict(bench.name, call, row.domain, bench.apis)
    why = "" if exact else f"{call or 'nothing'} instead of {row.call}"
    return Graded(row.id, row.domain, exact, same, not known, None, verdict is Verdict.RIGHT, why)
