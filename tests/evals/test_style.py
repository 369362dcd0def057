"""Style as covariates: what is counted, and that it is taken out of ratings."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from noria.evals import rate
from noria.evals.style import MEASURES, contrasts, measure
from tests.evals.support import logistic_elo


@pytest.mark.parametrize(
    ("text", "headings", "lists", "bold"),
    [
        ("plain words", 0, 0, 0),
        ("# One\n\n## Two\n text # no", 2, 0, 0),
        ("- a\n* b\n+ c\n1. d\n 2) e\n-no\n3.no", 0, 5, 0),
        ("a **b c** d __e__ ** f", 0, 0, 2),
        ("#no heading\n####### none either", 0, 0, 0),
        ("```\n# code\n- code **x**\n```\n# One", 1, 0, 0),
        ("~~~py\n# code\n~~~\n- a", 0, 1, 0),
        ("```\n# never closed\n- code", 0, 0, 0),
    ],
)
def test_measures(text, headings, lists, bold):
    assert measure(text) == (len(text), headings, lists, bold)


def test_only_the_assistants_side_counts():
    conversation = [
        {"role": "user", "content": "# not mine"},
        {"role": "assistant", "content": "**yes**"},
        {"role": "assistant", "content": [{"type": "text", "text": "- two"}, {"type": "image"}]},
    ]
    assert measure(conversation) == (12, 0, 1, 1)
    for silent in (None, [], 7, [{"role": "user", "content": "x"}], [{"role": "assistant"}], [3]):
        assert measure(silent) is None


def styled(count: int, seed: int, pull: float, strengths=(0.4, 0.0, -0.4)):
    """Battles in which the weakest writes the longest answers, and length wins votes by itself."""
    rng, names = random.Random(seed), "xyz"
    rows = []
    for _ in range(count):
        a, b = rng.sample(range(3), 2)
        lengths = [max(1, int(rng.gauss(100 + 60 * model, 40))) for model in (a, b)]
        contrast = (lengths[0] - lengths[1]) / sum(lengths)
        odds = strengths[a] - strengths[b] + pull * contrast
        won = rng.random() < 1 / (1 + math.exp(-odds))
        rows.append(
            {
                "model_a": names[a], "model_b": names[b],
                "winner": "model_a" if won else "model_b",
                "conversation_a": "w" * lengths[0], "conversation_b": "w" * lengths[1],
            }
        )  # fmt: skip
    return rows


def points(board):
    return {one.model: one.rating for one in board.ratings}


def test_agrees_with_a_logistic_regression_on_both():
    rows = styled(600, 1, pull=2.0)
    measured = np.array(
        [[measure(row["conversation_a"]), measure(row["conversation_b"])] for row in rows], float
    )
    columns, scale = contrasts(measured)
    assert (scale > 0).tolist() == [True, False, False, False]
    elo, effects = logistic_elo(rows, columns, ridge=0.5)
    board = rate(rows, style=True)
    assert points(board) == pytest.approx(elo, abs=1e-6)
    assert board.style["length"].value == pytest.approx(effects[0] * 400 / math.log(10), abs=1e-6)
    assert board.style["bold"].value == 0
    assert set(board.style) == set(MEASURES)


def test_length_is_taken_out():
    rows = styled(6000, 2, pull=4.0)
    raw, controlled = rate(rows), rate(rows, style=True)
    assert raw.ratings[0].model == "z"
    assert [one.model for one in controlled.ratings] == ["x", "y", "z"]
    true = 0.8 * 400 / math.log(10)
    assert true in controlled.difference("x", "z")
    assert true not in raw.difference("x", "z")
    assert controlled.style["length"].lower > 0


def test_which_side_is_which_does_not_matter():
    rows = styled(300, 3, pull=2.0)
    turned = [
        {
            "model_a": row["model_b"], "model_b": row["model_a"],
            "winner": {"model_a": "model_b", "model_b": "model_a"}[row["winner"]],
            "conversation_a": row["conversation_b"], "conversation_b": row["conversation_a"],
        }
        for row in rows
    ]  # fmt: skip
    assert points(rate(turned, style=True)) == pytest.approx(points(rate(rows, style=True)))


def test_without_any_style_it_is_the_plain_fit():
    rows = [row | {"conversation_a": "x", "conversation_b": "y"} for row in styled(200, 4, 0.0)]
    plain, controlled = rate(rows), rate(rows, style=True)
    assert points(controlled) == pytest.approx(points(plain))
    for one in plain.ratings:
        assert controlled[one.model].lower == pytest.approx(one.lower)


def test_rows_without_texts_are_counted():
    rows = styled(100, 5, 1.0)
    del rows[3]["conversation_b"]
    rows[7]["conversation_a"] = []
    board = rate(rows, style=True)
    assert board.dropped == {"missing_conversation": 2}
    assert rate(rows).dropped == {}


def test_a_style_that_decides_everything_has_a_finite_effect():
    rows = [
        row | {"winner": "model_a" if row["conversation_a"] > row["conversation_b"] else "model_b"}
        for row in styled(200, 6, 1.0)
    ]
    board = rate(rows, style=True)
    assert 100 < board.style["length"].lower < board.style["length"].upper < 4000


def test_one_heading_in_four_hundred_battles_does_not_stop_it():
    rows = styled(400, 8, pull=2.0)
    rows[0]["conversation_a"] = "# one\n" + rows[0]["conversation_a"]
    board = rate(rows, style=True)
    assert abs(board.style["headings"].value) < 60
    assert math.isfinite(board.style["headings"].upper)
    plain = rate(styled(400, 8, pull=2.0), style=True)
    assert board["x"].rating == pytest.approx(plain["x"].rating, abs=2)


def test_bootstrap_and_prior_go_with_it():
    rows = [
        *styled(300, 7, pull=2.0),
        {"model_a": "x", "model_b": "w", "winner": "model_a",
         "conversation_a": "some", "conversation_b": "words"}
    ]  # fmt: skip
    board = rate(rows, style=True, bootstrap=30, seed=1)
    assert [one.model for one in board.unrated] == ["w"]
    plain = rate(rows, style=True)
    for one in plain.ratings:
        width = board[one.model].upper - board[one.model].lower
        assert width == pytest.approx(one.upper - one.lower, rel=0.5)
    assert rate(rows, style=True, prior=1.0)["w"].lower < 900
