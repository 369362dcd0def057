"""Judges at the battles that people voted on: more votes, and evidence of how good the judge is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from noria.errors import ApiError
from noria.evals.evaluation.answering import at_once
from noria.evals.judge import Judge, PairJudgement
from noria.evals.verdicts import Verdict
from noria.ids import new_span_id
from noria.store import Database
from noria.store.evals.battles import Battle, record_battle
from noria.store.evals.judgements import JudgeVerdict, add_looks

__all__ = ["judge_battles", "keep_looks", "label_of"]


async def judge_battles(
    db: Database,
    battles: Sequence[Battle],
    judge: Judge,
    ask_of: Callable[[Iterable[str | None]], Any],
    *,
    concurrency: int = 8,
    progress: Callable[[], None] = lambda: None,
) -> int:
    """Have a judge look at battles, in both orders, and keep what it said.

    The last turn of each is judged, with the turns before it. A verdict becomes a battle of the
    judge; what is none stands there with its kind.

    Args:
        db: the store.
        battles: with their turns.
        judge: who looks.
        ask_of: the judge's way to its model, when it looks at answers of some traces.
        concurrency: how many at the same time.
        progress: called after each.

    Returns:
        How many could not be judged.

    Raises:
        ApiError: the budget is exhausted.
    """
    failed = 0

    async def work(battle: Battle) -> None:
        nonlocal failed
        turns = battle.turns
        try:
            found = await judge.compare(
                [turn.question for turn in turns],
                [turn.answer_a for turn in turns],
                [turn.answer_b for turn in turns],
                ask_of(trace for turn in turns for trace in (turn.trace_a, turn.trace_b)),
            )
        except ApiError as refusal:
            if refusal.code == "budget_exhausted":
                raise
            failed += 1
        else:
            keep_looks(db, battle, judge.model, found)
            verdict = found[0].verdict
            winner, excluded = label_of(verdict)
            record_battle(
                db,
                Battle(
                    battle.model_a, battle.model_b, judge.model, new_span_id(), time.time_ns(),
                    "judge", battle.arena, winner, excluded, judge.model, battle.category,
                    battle.language, battle.propensity, time.time_ns(), turns,
                ),
            )  # fmt: skip
        progress()

    await at_once(concurrency, ((battle,) for battle in battles if battle.turns), work)
    return failed


def keep_looks(db: Database, battle: Battle, judge: str, found: Sequence[PairJudgement]) -> None:
    """Keep what a judge said of one battle, repeat by repeat."""
    add_looks(
        db,
        [
            JudgeVerdict(
                battle.id, judge, number, time.time_ns(), one.verdict.kind, one.verdict.winner,
                one.shown.winner or one.shown.kind, one.exchanged.winner or one.exchanged.kind,
            )
            for number, one in enumerate(found)
        ],
    )  # fmt: skip


def label_of(verdict: Verdict) -> tuple[str, str | None]:
    """A verdict as a battle's end, and why it does not count where it is none."""
    winner = {"a": "model_a", "b": "model_b"}.get(verdict.winner or "", "tie")
    return winner, None if verdict.kind in ("winner", "tie") else f"judge: {verdict.kind}"
