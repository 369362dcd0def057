"""One evaluation from its questions to its folder: answered once, judged once, within a budget."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.errors import ApiError
from noria.evals.evaluation.answering import answer_all
from noria.evals.evaluation.contestants import Contestant
from noria.evals.evaluation.folder import Folder
from noria.evals.evaluation.judging import asker, count_looks, judge_all
from noria.types import Budget

if TYPE_CHECKING:
    from noria.evals.judge import Judge
    from noria.evals.questions import Questions
    from noria.gateway import Gateway
    from noria.store import Database, Key

__all__ = ["Estimate", "Outcome", "Plan", "estimate", "evaluate", "spending", "write_costs"]

_BYTES_PER_TOKEN = 4
# What is assumed of an answer, and of a judge's explanation, where nothing limits them.
_ANSWER_TOKENS, _VERDICT_TOKENS = 400, 250
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be evaluated, and how."""

    questions: Questions
    contestants: Sequence[Contestant]
    judge: Judge | None = None
    baseline: str | None = None
    repeats: int = 1
    concurrency: int = 8
    max_tokens: int | None = None

    def manifest(self) -> dict[str, Any]:
        """What makes it this evaluation and no other."""
        judge = None
        if self.judge is not None:
            judge = {
                "model": self.judge.model,
                "criteria": list(self.judge.criteria),
                "repeats": self.judge.repeats,
                "each_criterion": self.judge.each_criterion,
            }
            if self.judge.temperature is not None:
                judge["temperature"] = self.judge.temperature
        return {
            "questions": self.questions.name,
            "questions_digest": self.questions.digest,
            "question_ids": [question.id for question in self.questions],
            "references": self.questions.references,
            "contestants": [contestant.name for contestant in self.contestants],
            "judge": judge,
            "baseline": self.baseline,
            "repeats": self.repeats,
            "max_tokens": self.max_tokens,
        }


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an evaluation will come to, before it begins."""

    answers: int
    """Calls of contestants."""
    judgements: int
    """Calls of the judge."""
    nano: int
    """About so many nano-dollars, with answers of a usual length."""
    unpriced: list[str]
    """Models whose price nobody knows; they are not in the sum."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far an evaluation came."""

    folder: Folder
    failed_answers: int
    failed_looks: list[str]
    """Which looks of the judge failed, and why."""


def estimate(plan: Plan, gateway: Gateway) -> Estimate:
    """What a plan will come to. Of an application one call of its model is counted."""
    repeats = plan.repeats
    turns = sum(len(question.turns) for question in plan.questions)
    asked = sum(len(turn) for question in plan.questions for turn in question.turns)
    answer_tokens = min(plan.max_tokens or _ANSWER_TOKENS, _ANSWER_TOKENS)
    total = 0
    unpriced: list[str] = []

    def add(model: str | None, calls: int, bytes_in: int, tokens_out: int) -> None:
        nonlocal total
        price = None
        if model is not None:
            with contextlib.suppress(ApiError):
                price = gateway.catalogue.resolve(model).targets[0].price
        if price is None:
            unpriced.append(model or "?")
        elif calls:
            total += calls * price.bound(
                bytes_in // calls // _BYTES_PER_TOKEN, tokens_out, _SECONDS
            )

    answers = turns * repeats * len(plan.contestants)
    for contestant in plan.contestants:
        add(contestant.model, turns * repeats, asked * repeats, answer_tokens)
    judgements = 0
    if plan.judge is not None:
        looks = len(plan.judge.criteria) if plan.judge.each_criterion else 1
        judgements = answers * looks * plan.judge.repeats
        if plan.baseline is not None:
            judgements += 2 * turns * repeats * (len(plan.contestants) - 1) * plan.judge.repeats
        shown = judgements * (asked // max(1, turns) + 2 * answer_tokens * _BYTES_PER_TOKEN)
        add(plan.judge.model, judgements, shown, _VERDICT_TOKENS)
    return Estimate(answers, judgements, total, sorted(set(unpriced)))


async def evaluate(
    plan: Plan,
    path: Path,
    *,
    gateway: Gateway,
    key: Key,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Outcome:
    """Answer and judge what the folder does not hold yet.

    Raises:
        ApiError: the budget is exhausted; what was done stands in the folder.
        ConfigError: the folder holds another evaluation.
    """
    folder = Folder.begin(path, plan.manifest())
    questions = list(plan.questions)
    failed = await answer_all(
        folder,
        questions,
        plan.contestants,
        gateway=gateway,
        key=key,
        repeats=plan.repeats,
        concurrency=plan.concurrency,
        progress=_counted(
            progress, "answer", len(questions) * len(plan.contestants) * plan.repeats,
            sum(row["error"] is None for row in folder.rows("answers")),
        ),
    )  # fmt: skip
    unjudged: list[str] = []
    if plan.judge is not None:
        total = count_looks(folder, plan.baseline)
        unjudged = await judge_all(
            folder, questions, plan.judge, plan.baseline, partial(asker, gateway, key),
            concurrency=plan.concurrency,
            progress=_counted(progress, "judge", total, _judged(folder)),
        )  # fmt: skip
    return Outcome(folder, failed, unjudged)


@contextlib.contextmanager
def spending(db: Database, key: Key, budget: Budget | None, name: str) -> Iterator[Key]:
    """A key of the same principal that can spend no more than a budget, for as long as this lasts.

    Args:
        db: the store.
        key: on whose behalf.
        budget: the most that may be spent; None leaves the key as it is.
        name: what it is for.
    """
    if budget is None:
        yield key
        return
    from noria.store import create_key, revoke_key

    own, _ = create_key(
        db, name=name, team=key.team, user=key.user, budget=budget, models=key.models,
        groups=key.groups, clearance=key.clearance, record_content=key.record_content,
    )  # fmt: skip
    try:
        yield replace(own, admin=False)
    finally:
        revoke_key(db, own.id)


async def write_costs(folder: Folder, db: Database, take_in: Callable[[], int]) -> dict[str, int]:
    """Add what each contestant's answers cost to the folder, from the store's own record."""
    from noria.store.traces.trace_costs import costs_of

    await asyncio.to_thread(take_in)
    traces: dict[str, list[str]] = {}
    for row in folder.rows("answers"):
        traces.setdefault(row["contestant"], []).extend(row["traces"])
    costs = {
        who: sum((await asyncio.to_thread(costs_of, db, ids)).values())
        for who, ids in traces.items()
    }
    for who, cost in costs.items():
        folder.add("costs", {"contestant": who, "cost_nano": cost})
    return costs


def _judged(folder: Folder) -> int:
    return len(
        {
            (row["look"], row["question_id"], row["contestant"], row["repeat"], row["turn"])
            for row in folder.rows("judgements")
        }
    )


def _counted(
    progress: Callable[[str, int, int], None], stage: str, total: int, done: int
) -> Callable[[], None]:
    progress(stage, done, total)

    def one_more() -> None:
        nonlocal done
        done += 1
        progress(stage, done, total)

    return one_more
