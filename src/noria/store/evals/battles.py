"""Battles between two contestants: who met whom on what, who won, and which of them count.

How often each pair met and how it ended is counted in the transaction of the vote itself, so that a
leaderboard reads a few rows for each pair, however many battles there were.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from sqlalchemy import Connection, insert, select, text, update

from noria.errors import NotFound
from noria.ids import new_span_id
from noria.store.database import Database
from noria.store.tables.evals import battle_turns, battles
from noria.store.tables.governance import marks
from noria.types import Label

__all__ = [
    "ANYBODY",
    "WINNERS",
    "Battle",
    "Turn",
    "add_turn",
    "asked_before",
    "each_battle",
    "exclude_battles",
    "find_battle",
    "list_battles",
    "next_waiting",
    "open_battle",
    "record_battle",
    "vote",
    "votes_of",
]  # fmt: skip

ANYBODY = "*"
"""The voter of a battle that waits for whoever votes first."""
WINNERS = ("model_a", "model_b", "tie", "tie (bothbad)")
"""How a battle can end, in the words of the field's files."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and both answers."""

    number: int
    question: str
    answer_a: str
    answer_b: str
    end_a: str
    """`ok`, `refusal`, `error` or `cancelled`."""
    end_b: str
    trace_a: str | None = None
    trace_b: str | None = None


@dataclass(frozen=True, slots=True)
class Battle:
    """Two contestants, `model_a` on the left, before one voter."""

    model_a: str
    model_b: str
    voter: str
    """Who votes: the id of a key, or the judge's name."""
    id: str = field(default_factory=new_span_id)
    at: int = field(default_factory=time.time_ns)
    """UTC nanoseconds since the epoch."""
    source: str = "human"
    """`human`, `judge` or `shadow`."""
    arena: str = ""
    winner: str | None = None
    """One of `WINNERS`; None before the vote."""
    excluded: str | None = None
    """Why it does not count."""
    judge: str | None = None
    category: str = ""
    language: str = ""
    propensity: float = 1.0
    voted_ns: int | None = None
    turns: tuple[Turn, ...] = ()


_ENDS = ("wins_a", "wins_b", "ties", "both_bad")
_ADD_COUNTS = """
    INSERT INTO pair_counts VALUES (
        :source, :arena, :category, :language, :first, :second, :wins_a, :wins_b, :ties, :both_bad
    )
    ON CONFLICT (source, arena, category, language, model_a, model_b) DO UPDATE SET
        wins_a = pair_counts.wins_a + excluded.wins_a,
        wins_b = pair_counts.wins_b + excluded.wins_b,
        ties = pair_counts.ties + excluded.ties,
        both_bad = pair_counts.both_bad + excluded.both_bad"""


def open_battle(db: Database, battle: Battle) -> None:
    """Write a battle that has no winner yet."""
    with db.write() as connection:
        connection.execute(insert(battles).values(_row(battle)))


def add_turn(db: Database, battle_id: str, turn: Turn) -> None:
    """Write one question and its answers."""
    with db.write() as connection:
        _insert_turn(connection, battle_id, turn)


def record_battle(db: Database, battle: Battle) -> None:
    """Write a battle that is over, as judges' are, with its turns."""
    with db.write() as connection:
        connection.execute(insert(battles).values(_row(battle)))
        for turn in battle.turns:
            _insert_turn(connection, battle.id, turn)
        if battle.winner is not None:
            _count(connection, battle, 1)


def vote(
    db: Database,
    battle_id: str,
    voter: str,
    winner: str,
    excluded: str | None,
    language: str | None = None,
) -> bool:
    """End a battle with a vote, once.

    Args:
        db: the database.
        battle_id: the battle.
        voter: who votes; only the one before whom it was fought may.
        winner: one of `WINNERS`.
        excluded: why the vote is not to count; None where it counts.
        language: what was spoken; None leaves what the battle says.

    Returns:
        False where it was voted on before, and nothing has changed.

    Raises:
        NotFound: this voter has no such battle.
    """
    with db.write() as connection:
        battle = _find(connection, battle_id)
        if battle is None or battle.voter not in (voter, ANYBODY):
            raise NotFound(f"You have no battle {battle_id}.", "Begin one on the arena's page.")
        changed = connection.execute(
            update(battles)
            .where(battles.c.id == battle_id, battles.c.voted_ns.is_(None))
            .values(
                winner=winner,
                excluded=excluded,
                voter=voter,
                voted_ns=time.time_ns(),
                language=battle.language if language is None else language,
            )
        ).rowcount
        if changed:
            ended = _find(connection, battle_id)
            assert ended is not None
            _count(connection, ended, 1)
    return bool(changed)


def exclude_battles(db: Database, identities: Collection[str], reason: str) -> int:
    """Take battles that counted out of the counts; returns how many there were."""
    done = 0
    with db.write() as connection:
        for identity in identities:
            battle = _find(connection, identity)
            if battle is None or battle.excluded is not None:
                continue
            if battle.winner is not None:
                _count(connection, battle, -1)
            connection.execute(
                update(battles).where(battles.c.id == identity).values(excluded=reason)
            )
            if battle.winner is not None:
                _add_exclusion(connection, battle.source, battle.arena, reason, 1)
            done += 1
    return done


def find_battle(db: Database, battle_id: str) -> Battle:
    """A battle with its turns.

    Raises:
        NotFound: there is none.
    """
    with db.read() as connection:
        battle = _find(connection, battle_id)
    if battle is None:
        raise NotFound(f"There is no battle {battle_id}.")
    return battle


def list_battles(
    db: Database,
    *,
    limit: int = 50,
    before: str | None = None,
    source: str | None = None,
    arena: str | None = None,
    contestant: str | None = None,
    excluded: str | None = None,
    voter: str | None = None,
) -> list[Battle]:
    """The newest battles that ended and meet every filter, without their turns.

    Args:
        db: the database.
        limit: at most so many.
        before: the id of the battle to go on after.
        source: `human`, `judge` or `shadow`.
        arena: whose leaderboard.
        contestant: one of the two.
        excluded: why they do not count; `-` for those that do.
        voter: whose votes.
    """
    query = select(battles).where(battles.c.winner.is_not(None)).order_by(battles.c.id.desc())
    for column, value in (("source", source), ("arena", arena), ("voter", voter)):
        if value is not None:
            query = query.where(battles.c[column] == value)
    if contestant is not None:
        query = query.where((battles.c.model_a == contestant) | (battles.c.model_b == contestant))
    if excluded == "-":
        query = query.where(battles.c.excluded.is_(None))
    elif excluded is not None:
        query = query.where(battles.c.excluded == excluded)
    if before is not None:
        query = query.where(battles.c.id < before)
    with db.read() as connection:
        return [_battle(row) for row in connection.execute(query.limit(limit))]


def each_battle(
    db: Database, *, source: str | None = None, arena: str | None = None
) -> Iterator[Battle]:
    """Every battle that ended, the oldest first, with its turns; for exports."""
    after = ""
    while True:
        query = (
            select(battles)
            .where(battles.c.winner.is_not(None), battles.c.id > after)
            .order_by(battles.c.id)
            .limit(500)
        )
        if source is not None:
            query = query.where(battles.c.source == source)
        if arena is not None:
            query = query.where(battles.c.arena == arena)
        with db.read() as connection:
            rows = connection.execute(query).all()
            turns = _turns_of(connection, [row.id for row in rows])
        for row in rows:
            yield _battle(row, tuple(turns.get(row.id, ())))
        if len(rows) < 500:
            return
        after = rows[-1].id


def next_waiting(db: Database, clearance: Label = Label.RESTRICTED) -> Battle | None:
    """The oldest battle that waits for anybody's vote, with its turns; only one whose answers may
    be shown to who is cleared for this."""
    above = (
        select(battle_turns.c.number)
        .join(marks, marks.c.trace_id.in_((battle_turns.c.trace_a, battle_turns.c.trace_b)))
        .where(battle_turns.c.battle_id == battles.c.id, marks.c.label > int(clearance))
        .exists()
    )
    with db.read() as connection:
        identity = connection.execute(
            select(battles.c.id)
            .where(battles.c.voter == ANYBODY, battles.c.winner.is_(None), ~above)
            .order_by(battles.c.at)
            .limit(1)
        ).scalar()
        return None if identity is None else _find(connection, identity)


def votes_of(db: Database, voter: str, limit: int = 500) -> list[Battle]:
    """A voter's newest battles that ended, the oldest of them first, without turns."""
    query = (
        select(battles)
        .where(battles.c.voter == voter, battles.c.winner.is_not(None))
        .order_by(battles.c.at.desc())
        .limit(limit)
    )
    with db.read() as connection:
        return [_battle(row) for row in connection.execute(query)][::-1]


def asked_before(db: Database, battle: Battle) -> bool:
    """Whether this voter has put the same first question to the same two before."""
    two = (battle.model_a, battle.model_b)
    query = (
        select(battle_turns.c.question)
        .join(battles, battles.c.id == battle_turns.c.battle_id)
        .where(
            battles.c.voter == battle.voter,
            battles.c.id != battle.id,
            battles.c.winner.is_not(None),
            battles.c.model_a.in_(two),
            battles.c.model_b.in_(two),
            battle_turns.c.number == 1,
        )
    )
    with db.read() as connection:
        asked = {_plain(question) for question in connection.execute(query).scalars()}
    return any(turn.number == 1 and _plain(turn.question) in asked for turn in battle.turns)


def _plain(question: str) -> str:
    return " ".join(question.lower().split())


def _row(battle: Battle) -> dict[str, object]:
    return {column.name: getattr(battle, column.name) for column in battles.columns}


def _insert_turn(connection: Connection, battle_id: str, turn: Turn) -> None:
    names = [column.name for column in battle_turns.columns if column.name != "battle_id"]
    values = {name: getattr(turn, name) for name in names}
    connection.execute(insert(battle_turns).values(battle_id=battle_id, **values))


def _find(connection: Connection, battle_id: str) -> Battle | None:
    row = connection.execute(select(battles).where(battles.c.id == battle_id)).first()
    if row is None:
        return None
    return _battle(row, tuple(_turns_of(connection, [battle_id]).get(battle_id, ())))


def _turns_of(connection: Connection, identities: Collection[str]) -> dict[str, list[Turn]]:
    found: dict[str, list[Turn]] = {}
    query = (
        select(battle_turns)
        .where(battle_turns.c.battle_id.in_(list(identities)))
        .order_by(battle_turns.c.battle_id, battle_turns.c.number)
    )
    for row in connection.execute(query).mappings():
        values = dict(row)
        found.setdefault(values.pop("battle_id"), []).append(Turn(**values))
    return found


def _battle(row: object, turns: tuple[Turn, ...] = ()) -> Battle:
    return Battle(
        **{column.name: getattr(row, column.name) for column in battles.columns}, turns=turns
    )


def _count(connection: Connection, battle: Battle, sign: int) -> None:
    """Add a battle's end to the counts, or take it away."""
    if battle.excluded is not None:
        _add_exclusion(connection, battle.source, battle.arena, battle.excluded, sign)
        return
    first, second = sorted((battle.model_a, battle.model_b))
    winner = battle.winner
    if winner in ("model_a", "model_b"):
        won = battle.model_a if winner == "model_a" else battle.model_b
        winner = "wins_a" if won == first else "wins_b"
    else:
        winner = "ties" if winner == "tie" else "both_bad"
    connection.execute(
        text(_ADD_COUNTS),
        {
            "source": battle.source, "arena": battle.arena, "category": battle.category,
            "language": battle.language, "first": first, "second": second,
        } | {name: sign if name == winner else 0 for name in _ENDS},
    )  # fmt: skip


def _add_exclusion(
    connection: Connection, source: str, arena: str, reason: str, number: int
) -> None:
    connection.execute(
        text(
            "INSERT INTO exclusions VALUES (:source, :arena, :reason, :number)"
            " ON CONFLICT (source, arena, reason) DO UPDATE SET"
            " battles = exclusions.battles + excluded.battles"
        ),
        {"source": source, "arena": arena, "reason": reason, "number": number},
    )
