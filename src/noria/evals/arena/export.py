"""Battles in the field's form: a JSON object for each, with both conversations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from noria.evals.marked import with_label
from noria.store import marks_of
from noria.store.evals.battles import Battle, each_battle
from noria.types import Label

if TYPE_CHECKING:
    from noria.store import Database

__all__ = ["export_rows"]


def export_rows(
    db: Database, *, source: str | None = None, arena: str | None = None, excluded: bool = False
) -> Iterator[dict[str, Any]]:
    """Every battle that was voted on, the oldest first.

    The names are those of the field's data sets; `excluded` is why a battle does not count here.

    Args:
        db: the database.
        source: only `human`, `judge` or `shadow` ones.
        arena: only those of one arena.
        excluded: give those that do not count as well.
    """
    for battle in each_battle(db, source=source, arena=arena):
        if battle.excluded is None or excluded:
            traces = {name for turn in battle.turns for name in (turn.trace_a, turn.trace_b)}
            marks = marks_of(db, {name for name in traces if name is not None})
            yield with_label(_row(battle), max(marks.values(), default=Label.PUBLIC))


def _row(battle: Battle) -> dict[str, Any]:
    row: dict[str, Any] = {
        "question_id": battle.id,
        "model_a": battle.model_a,
        "model_b": battle.model_b,
        "winner": battle.winner,
        "judge": battle.judge or battle.voter,
        "turn": len(battle.turns),
        "anony": True,
        "language": battle.language,
        "category": battle.category,
        "tstamp": (battle.voted_ns or battle.at) / 1e9,
        "propensity": battle.propensity,
        "source": battle.source,
        "conversation_a": [],
        "conversation_b": [],
    }
    for turn in battle.turns:
        for side, answer in (("a", turn.answer_a), ("b", turn.answer_b)):
            row[f"conversation_{side}"] += [
                {"role": "user", "content": turn.question},
                {"role": "assistant", "content": answer},
            ]
    if battle.excluded is not None:
        row["excluded"] = battle.excluded
    return row
