"""Ratings: exact, with honest intervals, never infinite."""

from __future__ import annotations

import math
import random
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.errors import NoriaError, NotFound
from noria.evals import Battles, Tally, rate
from tests.evals.support import LABELS, battles, logistic_elo

FIVE = {"ada": 1.2, "bob": 0.4, "cid": 0.0, "dot": -0.5, "eve": -1.1}


def points(board):
    return {one.model: one.rating for one in board.ratings}


def row(a, b, winner, **more):
    return {"model_a": a, "model_b": b, "winner": winner} | more


def near(expected, tolerance=1e-6):
    return pytest.approx(expected, rel=0, abs=tolerance)


class TestAgreement:
    def test_with_a_logistic_regression(self):
        rows = battles(FIVE, 800, seed=3)
        assert points(rate(rows)) == near(logistic_elo(rows)[0])

    def test_weighted_by_inverse_propensity(self):
        rows = battles(FIVE, 500, seed=4)
        rng = random.Random(4)
        for one in rows:
            one["propensity"] = rng.choice([0.01, 0.05, 0.3, 1])
        weighted = rate(rows, propensity=True)
        assert points(weighted) == near(logistic_elo(rows)[0])
        assert points(weighted) != near(points(rate(rows)), 1)

    def test_two_contestants_in_closed_form(self):
        """With w wins of n the strength is log(w / (n - w)), its error 1 / sqrt(n p (1 - p))."""
        rows = [row("x", "y", "model_a")] * 30 + [row("y", "x", "model_a")] * 10
        board = rate(rows)
        scale = 400 / math.log(10)
        gap = board.difference("x", "y")
        assert gap.value == near(scale * math.log(3))
        half = 1.959963984540054 * scale / math.sqrt(40 * 0.75 * 0.25)
        assert (gap.lower, gap.upper) == near((gap.value - half, gap.value + half))
        assert board["x"].upper - board["x"].rating == near(half / 2)
        assert board.win_chance("x", "y") == pytest.approx(0.75)
        assert board.chance_of_at_least("x", "y") == pytest.approx(0.99869, abs=1e-5)

    def test_the_baseball_season_of_1987(self):
        """Agresti, Categorical Data Analysis (2002), section 10.6.1: American League East. The
        ML fit gives P(Milwaukee beats Boston) and the differences to Baltimore below."""
        teams = ["Milwaukee", "Detroit", "Toronto", "New-York", "Boston", "Cleveland", "Baltimore"]
        wins = [
            [0, 7, 9, 7, 7, 9, 11],
            [6, 0, 7, 5, 11, 9, 9],
            [4, 6, 0, 7, 7, 8, 12],
            [6, 8, 6, 0, 6, 7, 10],
            [6, 2, 6, 7, 0, 7, 12],
            [4, 4, 5, 6, 6, 0, 6],
            [2, 4, 1, 3, 1, 7, 0],
        ]
        rows = [
            row(teams[i], teams[j], "model_a")
            for i in range(7) for j in range(7) for _ in range(wins[i][j])
        ]  # fmt: skip
        board = rate(rows)
        published = [1.581, 1.436, 1.294, 1.248, 1.108, 0.684, 0.0]
        for team, strength in zip(teams, published, strict=True):
            ahead = board.difference(team, "Baltimore").value * math.log(10) / 400
            assert ahead == pytest.approx(strength, abs=5e-4)

    def test_counts_one_by_one_are_those_of_all(self):
        rows = battles(FIVE, 300, seed=5)
        tally = Tally()
        for one in rows:
            tally.add(one["model_a"], one["model_b"], one["winner"])
        assert rate(tally).as_json() == rate(rows).as_json()

    def test_a_vote_that_is_taken_back_never_was(self):
        rows = battles(FIVE, 200, seed=6)
        tally = Tally()
        for one in [*rows, row("ada", "new", "model_b"), row("eve", "ada", "tie")]:
            tally.add(one["model_a"], one["model_b"], one["winner"])
        tally.add("new", "ada", "model_a", count=-1)  # the same vote, seen from the other side
        tally.add("ada", "eve", "tie", count=-1)
        assert rate(tally).as_json() == rate(rows).as_json()
        with pytest.raises(ValueError, match="no such vote"):
            tally.add("new", "ada", "model_a", count=-1)


class TestScale:
    def test_the_mean_is_1000_unweighted(self):
        rows = battles(FIVE, 300, seed=7) + [row("ada", "eve", "model_a")] * 400
        assert sum(points(rate(rows)).values()) / 5 == near(1000)

    def test_an_anchor_is_where_it_is_put_and_has_no_width(self):
        board = rate(battles(FIVE, 300, seed=8), anchor={"cid": 1114.0})
        assert (board["cid"].lower, board["cid"].rating, board["cid"].upper) == near((1114,) * 3)
        free = rate(battles(FIVE, 300, seed=8))
        assert board["ada"].rating - board["cid"].rating == near(
            free["ada"].rating - free["cid"].rating
        )
        gap, same = board.difference("ada", "bob"), free.difference("ada", "bob")
        assert (gap.lower, gap.upper) == near((same.lower, same.upper))

    def test_an_anchor_without_a_rating_is_refused(self):
        with pytest.raises(NotFound, match="nobody"):
            rate(battles(FIVE, 100), anchor={"nobody": 1000.0})


class TestCounts:
    def test_both_bad_is_a_tie_in_the_fit_and_counted_apart(self):
        rows = battles(FIVE, 200, seed=9)
        bad = rate([*rows, *[row("ada", "eve", "tie (bothbad)")] * 7])
        tied = rate([*rows, *[row("ada", "eve", "tie")] * 7])
        assert points(bad) == near(points(tied))
        assert bad.both_bad - rate(rows).both_bad == 7
        assert bad["ada"].ties == tied["ada"].ties - 7
        for one in bad.ratings:
            assert one.battles == one.wins + one.losses + one.ties + one.both_bad
        assert sum(one.battles for one in bad.ratings) == 2 * bad.battles

    def test_win_matrix(self):
        tally = Tally()
        for winner in LABELS:
            tally.add("x", "y", winner)
        matrix = tally.win_matrix()
        assert matrix.rate("x", "y") == 0.5
        assert matrix.battles.tolist() == [[0, 4], [4, 0]]
        tally.add("y", "z", "model_b")
        matrix = tally.win_matrix()
        assert matrix.rate("z", "y") == 1.0
        assert matrix.rate("x", "z") is None


class TestUnrated:
    def test_who_only_wins_or_only_loses(self):
        rows = battles(FIVE, 200, seed=10)
        more = [row("champion", name, "model_a") for name in FIVE]
        more += [row("loser", name, "model_b") for name in FIVE]
        board = rate(rows + more)
        assert points(board) == near(points(rate(rows)))
        assert {one.model: str(one.reason) for one in board.unrated} == {
            "champion": "only_wins",
            "loser": "only_losses",
        }
        assert [one.wins for one in board.unrated] == [5, 0]
        assert board.battles == 210

    def test_islands(self):
        rows = battles(FIVE, 200, seed=11)
        island = battles({"x": 0.0, "y": 0.5}, 60, seed=11)
        board = rate(rows + island)
        assert points(board) == near(points(rate(rows)))
        assert [(one.model, one.reason) for one in board.unrated] == [
            ("x", "island"),
            ("y", "island"),
        ]

    def test_a_group_that_takes_everything(self):
        rows = battles(FIVE, 200, seed=12)
        strong = battles({"x": 0.0, "y": 0.5}, 60, seed=12)
        link = [row("x", "ada", "model_a"), row("eve", "y", "model_b")]
        board = rate(rows + strong + link)
        assert {one.model: str(one.reason) for one in board.unrated} == {
            "x": "one_way", "y": "one_way",
        }  # fmt: skip

    def test_nobody_can_be_rated(self):
        board = rate([row("x", "y", "model_a")] * 9)
        assert board.ratings == []
        assert {one.model: str(one.reason) for one in board.unrated} == {
            "x": "only_wins", "y": "only_losses",
        }  # fmt: skip
        empty = rate([])
        assert (empty.battles, empty.ratings, empty.unrated) == (0, [], [])

    def test_a_single_tie_is_enough(self):
        board = rate([row("x", "y", "tie")])
        assert points(board) == {"x": 1000.0, "y": 1000.0}

    def test_a_prior_rates_everybody(self):
        rows = battles(FIVE, 200, seed=13) + [row("champion", "ada", "model_a")] * 9
        rows += battles({"x": 0.0, "y": 0.5}, 60, seed=13)
        board = rate(rows, prior=1)
        assert len(board.ratings) == 8
        assert board.unrated == []
        assert board.intervals == "posterior"
        assert board.ratings[0].model == "champion"
        assert all(
            math.isfinite(value) for one in board.ratings for value in (one.lower, one.upper)
        )
        assert board["champion"].upper - board["champion"].lower > 300

    def test_a_faint_prior_is_the_maximum_likelihood(self):
        rows = battles(FIVE, 400, seed=14)
        assert points(rate(rows, prior=1e-9)) == near(points(rate(rows)), 1e-5)


class TestBootstrap:
    def test_is_seeded_and_near_the_sandwich(self):
        rows = battles(FIVE, 2000, seed=15)
        one, again = rate(rows, bootstrap=400, seed=7), rate(rows, bootstrap=400, seed=7)
        assert one.as_json() == again.as_json()
        assert one.as_json() != rate(rows, bootstrap=400, seed=8).as_json()
        assert one.intervals == "bootstrap"
        plain = rate(rows)
        for model in FIVE:
            width = one[model].upper - one[model].lower
            assert one[model].rating == plain[model].rating
            assert width == pytest.approx(plain[model].upper - plain[model].lower, rel=0.15)

    def test_rounds_in_which_somebody_wins_everything_stay_finite(self):
        """Ten votes, nine to one: a third of all samples has no loss at all."""
        rows = [row("x", "y", "model_a")] * 9 + [row("x", "y", "model_b")]
        board = rate(rows, bootstrap=300)
        assert 60 < board.rounds_with_prior < 160
        for one in board.ratings:
            assert -2000 < one.lower < one.rating < one.upper < 4000

    def test_each_round_is_the_fit_of_its_sample(self):
        """The shared curvature of all battles leads to the same place as Newton on each sample."""
        from noria.evals.bootstrap import bootstrap
        from noria.evals.strength import Pairs, fit

        tally = Tally()
        for one in battles(FIVE, 1500, seed=16):
            tally.add(one["model_a"], one["model_b"], one["winner"])
        cells = tally.cells()
        strengths = fit(Pairs.of(cells, 5))
        quick = bootstrap(cells, strengths, 40, seed=1).strengths
        exact = bootstrap(cells, strengths, 40, seed=1, prior=1e-12).strengths
        assert np.abs(quick - exact).max() < 1e-8

    def test_sampling_is_multinomial(self):
        from noria.evals.bootstrap import multinomial

        chances = np.array([0.5, 0.3, 0.15, 0.05])
        counts = multinomial(np.random.default_rng(1), 400, chances, 20_000)
        assert (counts.sum(axis=1) == 400).all()
        assert counts.mean(axis=0) == pytest.approx(400 * chances, rel=0.01)
        expected = 400 * (np.diag(chances) - np.outer(chances, chances))
        assert np.abs(np.cov(counts.T) - expected).max() < 3


class TestElo:
    def test_as_in_chess(self):
        """With K 32 and equal ratings a win is worth 16 points, a draw nothing."""
        board = rate([row("x", "y", "model_a")], method="elo", k=32)
        assert points(board) == {"x": 1016.0, "y": 984.0}
        assert points(rate([row("x", "y", "tie")], method="elo")) == {"x": 1000.0, "y": 1000.0}
        board = rate([row("x", "y", "model_a"), row("y", "x", "model_a")], method="elo", k=32)
        expected = 1 / (1 + 10 ** ((1016 - 984) / 400))
        assert board["y"].rating == near(984 + 32 * (1 - expected))

    def test_order_is_that_of_time(self):
        rows = [
            row("x", "y", "model_b", tstamp=2.0),
            row("x", "y", "model_a", tstamp=1.0),
            row("y", "z", "model_a", tstamp=3.0),
        ]
        in_time = [rows[1], rows[0], rows[2]]
        bare = [{key: one[key] for key in ("model_a", "model_b", "winner")} for one in in_time]
        assert points(rate(rows, method="elo", k=40)) == points(rate(bare, method="elo", k=40))
        assert points(rate(rows, method="elo", k=40)) != points(
            rate(bare[::-1], method="elo", k=40)
        )

    def test_intervals_only_from_a_bootstrap(self):
        rows = battles(FIVE, 400, seed=17)
        board = rate(rows, method="elo")
        assert board.intervals is None
        assert board.ratings[0].lower is None
        assert [one.rank for one in board.ratings] == [1, 2, 3, 4, 5]
        with pytest.raises(NoriaError, match="no intervals"):
            board.difference("ada", "eve")
        board = rate(rows, method="elo", bootstrap=60)
        assert board.intervals == "bootstrap"
        assert board["ada"].lower < board["ada"].upper
        assert sum(points(board).values()) == near(5000)


def test_ranks_come_from_intervals():
    rows = [row("best", other, "model_a") for other in ("x", "y") for _ in range(400)]
    rows += [row("best", other, "model_b") for other in ("x", "y") for _ in range(40)]
    rows += [row("x", "y", "model_a")] * 20 + [row("x", "y", "model_b")] * 19
    board = rate(rows)
    assert {one.model: one.rank for one in board.ratings} == {"best": 1, "x": 2, "y": 2}


@pytest.mark.parametrize("rounds", [0, 200])
def test_ties_are_no_certainty(rounds):
    board = rate([row("x", "y", "tie")], bootstrap=rounds)
    assert board["x"].rating == 1000
    assert board["x"].upper - board["x"].lower > 250
    assert 0.2 < board.chance_of_at_least("x", "y") < 0.8
    newcomer = rate([*battles(FIVE, 8000, seed=9), row("new", "cid", "tie")], bootstrap=rounds)
    known = newcomer.difference("cid", "dot")
    unknown = newcomer.difference("new", "cid")
    assert unknown.upper - unknown.lower > 4 * (known.upper - known.lower)


def test_ranks_do_not_hang_on_an_anchor_nor_on_a_third_contestant():
    rows = [row("a", "b", "model_a")] * 130 + [row("a", "b", "model_b")] * 70
    rows += [row("c", one, winner) for one in "ab" for winner in ("model_a", "model_b")]
    ranks = {one.model: one.rank for one in rate(rows).ratings}
    assert ranks["b"] > ranks["a"] == 1
    for anchor in "abc":
        board = rate(rows, anchor={anchor: 1000.0})
        assert {one.model: one.rank for one in board.ratings} == ranks


def test_ranks_hold_for_all_pairs_together():
    """Of twelve equal contestants some pair looks far apart; that is no rank."""
    names = [f"m{place}" for place in range(12)]
    wrong = 0
    for world in range(100):
        rng = np.random.default_rng(world)
        first = rng.integers(0, 12, 1500).astype(np.int32)
        second = ((first + rng.integers(1, 12, 1500)) % 12).astype(np.int32)
        outcome = rng.integers(0, 3, 1500).astype(np.int8)
        wrong += any(one.rank > 1 for one in rate(Battles(names, first, second, outcome)).ratings)
    assert wrong <= 11


@pytest.mark.parametrize(
    "arguments",
    [
        {"bootstrap": -1}, {"prior": -0.5}, {"k": 0}, {"confidence": 1.0}, {"anchor": {}},
        {"method": "elo", "style": True}, {"method": "elo", "prior": 1.0},
    ],
)  # fmt: skip
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=r"."):
        rate(battles(FIVE, 50), **arguments)


def test_what_battles_do_not_hold_is_not_made_up():
    read = Battles.of(battles(FIVE, 50))
    for arguments in ({"method": "elo"}, {"style": True}, {"propensity": True}):
        with pytest.raises(ValueError, match="=True"):
            rate(read, **arguments)
    for arguments in ({"method": "elo"}, {"style": True}):
        with pytest.raises(ValueError, match="=True"):
            rate(Tally.of(read), **arguments)


ROWS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef"), st.sampled_from(LABELS))
    .filter(lambda one: one[0] != one[1])
    .map(lambda one: row(*one)),
    max_size=60,
)
FEW = settings(max_examples=60, deadline=None)


@given(ROWS, st.randoms(use_true_random=False))
@FEW
def test_the_order_of_battles_does_not_matter(rows, rng):
    shuffled = rng.sample(rows, len(rows))
    assert points(rate(shuffled)) == near(points(rate(rows)))


@given(ROWS)
@FEW
def test_names_and_sides_do_not_matter(rows):
    turned = {"model_a": "model_b", "model_b": "model_a"}
    other = [
        row(one["model_b"] * 3, one["model_a"] * 3, turned.get(one["winner"], one["winner"]))
        for one in rows
    ]
    assert points(rate(other)) == near({name * 3: at for name, at in points(rate(rows)).items()})


@given(ROWS, st.integers(2, 5))
@FEW
def test_more_of_the_same_moves_nothing_and_narrows_intervals(rows, times):
    once, often = rate(rows), rate(rows * times)
    assert points(often) == near(points(once))
    for one in once.ratings:
        width = often[one.model].upper - often[one.model].lower
        assert 0 < width < one.upper - one.lower


@given(ROWS)
@FEW
def test_a_tie_is_half_a_win_each(rows):
    halves = [
        half
        for one in rows
        for half in (
            [one] * 2 if one["winner"] in ("model_a", "model_b")
            else [one | {"winner": "model_a"}, one | {"winner": "model_b"}]
        )
    ]  # fmt: skip
    assert points(rate(halves)) == near(points(rate(rows)))


@given(ROWS, st.sampled_from([0, 20]))
@FEW
def test_nothing_is_ever_infinite_and_nobody_is_lost(rows, rounds):
    board = rate(rows, bootstrap=rounds)
    for one in board.ratings:
        assert all(math.isfinite(value) for value in (one.rating, one.lower, one.upper))
    there = {name for one in rows for name in (one["model_a"], one["model_b"])}
    assert {one.model for one in [*board.ratings, *board.unrated]} == there
    assert len(board.ratings) + len(board.unrated) == len(there)
    assert board.battles == len(rows)
    for better, worse in combinations(board.ratings, 2):
        assert better.rating >= worse.rating


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("efgh"), st.integers(0, 5),
                  st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)),
        max_size=12, unique_by=lambda pair: pair[:2],
    )
)  # fmt: skip
def test_counts_of_pairs_are_the_same_as_their_battles_one_by_one(pairs: list[Any]) -> None:
    counts = np.array([pair[2:] for pair in pairs], np.int64).reshape(-1, 4)
    at_once = Tally.of_counts([one[0] for one in pairs], [one[1] for one in pairs], counts)
    one_by_one = Tally()
    for first, second, *ends in pairs:
        for end, number in zip(LABELS, ends, strict=True):
            # The names are in the order of the alphabet, which "add" does not ask for.
            for _ in range(number):
                one_by_one.add(second, first, _OTHER.get(end, end))
    assert len(at_once) == len(one_by_one)
    told = {one.model: one for one in rate(at_once).ratings}
    for one in rate(one_by_one).ratings:
        assert told[one.model].rating == pytest.approx(one.rating)
        assert (told[one.model].wins, told[one.model].both_bad) == (one.wins, one.both_bad)


_OTHER = {"model_a": "model_b", "model_b": "model_a"}
