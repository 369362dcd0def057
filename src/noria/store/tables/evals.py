"""The tables of battles between contestants, and of evaluations."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Integer, Table, Text

from noria.store.tables.core import metadata

__all__ = ["battle_turns", "battles", "evaluations", "exclusions", "looks", "pair_counts"]

battles = Table(
    "battles",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    # human, judge, shadow
    Column("source", Text, nullable=False),
    # "" for the arena of the installation, else the app whose leaderboard it is
    Column("arena", Text, nullable=False),
    Column("model_a", Text, nullable=False),
    Column("model_b", Text, nullable=False),
    Column("winner", Text),
    # Why it does not count; null where it does.
    Column("excluded", Text),
    Column("voter", Text, nullable=False),
    Column("judge", Text),
    Column("category", Text, nullable=False),
    Column("language", Text, nullable=False),
    # The chance with which this pair was drawn.
    Column("propensity", Double, nullable=False),
    Column("voted_ns", BigInteger),
)

battle_turns = Table(
    "battle_turns",
    metadata,
    Column("battle_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("question", Text, nullable=False),
    Column("answer_a", Text, nullable=False),
    Column("answer_b", Text, nullable=False),
    # ok, refusal, error, cancelled
    Column("end_a", Text, nullable=False),
    Column("end_b", Text, nullable=False),
    Column("trace_a", Text),
    Column("trace_b", Text),
)

# What judges said of battles, in both orders.
looks = Table(
    "looks",
    metadata,
    Column("battle_id", Text, primary_key=True),
    Column("judge", Text, primary_key=True),
    Column("repeat", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    # winner, tie, inconsistent, invalid, refusal
    Column("kind", Text, nullable=False),
    # a, b or tie, of the battle's sides
    Column("winner", Text),
    # What the judge chose in either order as it was shown: a, b, tie, or the kind of no choice
    Column("shown", Text, nullable=False),
    Column("exchanged", Text, nullable=False),
)

# Of battles that count; the two names are in the order of the alphabet.
pair_counts = Table(
    "pair_counts",
    metadata,
    Column("source", Text, primary_key=True),
    Column("arena", Text, primary_key=True),
    Column("category", Text, primary_key=True),
    Column("language", Text, primary_key=True),
    Column("model_a", Text, primary_key=True),
    Column("model_b", Text, primary_key=True),
    Column("wins_a", BigInteger, nullable=False),
    Column("wins_b", BigInteger, nullable=False),
    Column("ties", BigInteger, nullable=False),
    Column("both_bad", BigInteger, nullable=False),
)

# Of battles that ended and do not count.
exclusions = Table(
    "exclusions",
    metadata,
    Column("source", Text, primary_key=True),
    Column("arena", Text, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("battles", BigInteger, nullable=False),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("folder", Text, nullable=False),
    Column("app", Text),
    Column("summary", Text, nullable=False),
)
