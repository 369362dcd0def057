"""Battles: a vote counts once, for its own voter, and what is excluded is taken out again."""

from __future__ import annotations

import pytest

from noria.errors import NotFound
from noria.store import Database
from noria.store.evals.battles import (
    Battle,
    Turn,
    add_turn,
    each_battle,
    exclude_battles,
    find_battle,
    list_battles,
    open_battle,
    record_battle,
    vote,
    votes_of,
)
from noria.store.evals.pair_counts import (
    PairCount,
    count_pairs,
    count_pairs_since,
    excluded_by_reason,
    languages_of,
    votes_by_day,
)


def fought(db: Database, winner: str, *, a: str = "x", b: str = "y", voter: str = "v") -> Battle:
    battle = Battle(a, b, voter)
    open_battle(db, battle)
    assert vote(db, battle.id, voter, winner, None)
    return battle


def test_votes_are_counted_whichever_side_a_contestant_stands_on(db: Database) -> None:
    fought(db, "model_a")
    fought(db, "model_b", a="y", b="x")
    fought(db, "model_a", a="y", b="x")
    fought(db, "tie")
    fought(db, "tie (bothbad)")
    assert count_pairs(db) == [PairCount("x", "y", 2, 1, 1, 1)]


def test_a_battle_is_voted_on_once_and_by_its_own_voter(db: Database) -> None:
    battle = fought(db, "model_a")
    assert not vote(db, battle.id, "v", "model_b", None)
    with pytest.raises(NotFound):
        vote(db, battle.id, "somebody else", "model_b", None)
    assert find_battle(db, battle.id).winner == "model_a"
    assert count_pairs(db) == [PairCount("x", "y", 1, 0, 0, 0)]


def test_what_is_excluded_later_leaves_the_counts_and_is_counted_by_reason(db: Database) -> None:
    battles = [fought(db, "model_a") for _ in range(3)]
    open_battle(db, leaked := Battle("x", "y", "v"))
    vote(db, leaked.id, "v", "model_a", "named itself")
    assert exclude_battles(db, [one.id for one in battles[:2]], "automated voter") == 2
    assert exclude_battles(db, [battles[0].id], "automated voter") == 0
    assert count_pairs(db) == [PairCount("x", "y", 1, 0, 0, 0)]
    assert excluded_by_reason(db) == {"automated voter": 2, "named itself": 1}
    assert [one.id for one in list_battles(db, excluded="-")] == [battles[2].id]


def test_turns_stay_with_their_battle(db: Database) -> None:
    battle = Battle("x", "y", "v", category="coding", language="en", arena="support")
    open_battle(db, battle)
    turns = tuple(Turn(n, f"q{n}", "left", "right", "ok", "refusal", "t1") for n in (1, 2))
    for turn in turns:
        add_turn(db, battle.id, turn)
    assert find_battle(db, battle.id).turns == turns
    assert list(each_battle(db)) == []  # nobody has voted
    vote(db, battle.id, "v", "model_b", None)
    (exported,) = each_battle(db, arena="support")
    assert exported.turns == turns
    assert count_pairs(db, arena="support", category="coding", language="en")
    assert not count_pairs(db)


def test_a_judges_battle_is_written_at_once(db: Database) -> None:
    record_battle(db, Battle("x", "y", "judge", source="judge", winner="tie"))
    assert not count_pairs(db)
    assert count_pairs(db, sources=("human", "judge")) == [PairCount("x", "y", 0, 0, 1, 0)]
    assert [one.voter for one in votes_of(db, "judge")] == ["judge"]


def test_windows_days_and_languages_count_the_same_battles(db: Database) -> None:
    fought(db, "model_b", a="y", b="x")
    fought(db, "tie")
    open_battle(db, spoken := Battle("x", "y", "v"))
    vote(db, spoken.id, "v", "model_a", None, "de")
    open_battle(db, out := Battle("x", "y", "v"))
    vote(db, out.id, "v", "model_a", "refusal", "fr")
    assert count_pairs_since(db, 0) == count_pairs(db) == [PairCount("x", "y", 2, 0, 1, 0)]
    assert count_pairs_since(db, spoken.at) == [PairCount("x", "y", 1, 0, 0, 0)]
    assert count_pairs_since(db, 0, language="de") == count_pairs(db, language="de")
    assert languages_of(db) == ["de"]
    days = votes_by_day(db, 7)
    assert len(days) == 7
    assert sum(number for _, number in days) == 3
    assert days[-1][1] == 3
