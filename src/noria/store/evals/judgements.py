"""What judges said of battles, for asking how good a judge is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, insert, select

from noria.store.database import Database
from noria.store.evals.battles import Battle, find_battle
from noria.store.tables.evals import battle_turns, battles, looks

__all__ = ["JudgeVerdict", "JudgedBattle", "add_looks", "judges", "looks_of", "unseen_battles"]


@dataclass(frozen=True, slots=True)
class JudgeVerdict:
    """One judgement of one battle, in both orders."""

    battle_id: str
    judge: str
    repeat: int
    at: int
    """UTC nanoseconds since the epoch."""
    kind: str
    """`winner`, `tie`, `inconsistent`, `invalid` or `refusal`."""
    winner: str | None
    """`a`, `b` or `tie`, of the battle's sides."""
    shown: str
    """What was chosen as the battle was: `a`, `b`, `tie`, or the kind of no choice."""
    exchanged: str
    """The same with the sides exchanged, as the judge said it."""


@dataclass(frozen=True, slots=True)
class JudgedBattle:
    """A look with the battle that it is about."""

    look: JudgeVerdict
    model_a: str
    model_b: str
    people: str | None
    """What a person said: a label of the field; None where no person voted."""
    length_a: int
    """Of the answers, in characters."""
    length_b: int


def add_looks(db: Database, found: list[JudgeVerdict]) -> None:
    """Keep judgements."""
    if not found:
        return
    names = [column.name for column in looks.columns]
    with db.write() as connection:
        connection.execute(
            insert(looks), [{name: getattr(one, name) for name in names} for one in found]
        )


def judges(db: Database) -> dict[str, int]:
    """Every judge that looked at a battle, with the number of its looks."""
    query = select(looks.c.judge, func.count()).group_by(looks.c.judge).order_by(looks.c.judge)
    with db.read() as connection:
        return {judge: int(count) for judge, count in connection.execute(query)}


def looks_of(db: Database, judge: str, limit: int = 20_000) -> list[JudgedBattle]:
    """A judge's newest looks, with what people said of the same battles."""
    lengths = (
        select(
            battle_turns.c.battle_id,
            func.sum(func.length(battle_turns.c.answer_a)).label("length_a"),
            func.sum(func.length(battle_turns.c.answer_b)).label("length_b"),
        )
        .group_by(battle_turns.c.battle_id)
        .subquery()
    )
    query = (
        select(
            looks, battles.c.model_a, battles.c.model_b, battles.c.source,
            battles.c.winner.label("said"), lengths.c.length_a, lengths.c.length_b,
        )
        .join(battles, battles.c.id == looks.c.battle_id)
        .outerjoin(lengths, lengths.c.battle_id == looks.c.battle_id)
        .where(looks.c.judge == judge)
        .order_by(looks.c.at.desc())
        .limit(limit)
    )  # fmt: skip
    names = [column.name for column in looks.columns]
    with db.read() as connection:
        return [
            JudgedBattle(
                JudgeVerdict(**{name: row[name] for name in names}),
                row["model_a"],
                row["model_b"],
                row["said"] if row["source"] == "human" else None,
                int(row["length_a"] or 0),
                int(row["length_b"] or 0),
            )
            for row in connection.execute(query).mappings()
        ]


def unseen_battles(db: Database, judge: str, limit: int) -> Iterator[Battle]:
    """Battles that people voted on, that count, and that a judge has not looked at; the newest
    first, with their turns."""
    seen = select(looks.c.battle_id).where(looks.c.judge == judge)
    query = (
        select(battles.c.id)
        .where(
            battles.c.source == "human",
            battles.c.winner.is_not(None),
            battles.c.excluded.is_(None),
            battles.c.id.not_in(seen),
        )
        .order_by(battles.c.id.desc())
        .limit(limit)
    )
    with db.read() as connection:
        found = list(connection.execute(query).scalars())
    for identity in found:
        yield find_battle(db, identity)
