"""The set of questions that comes with noria: ours, complete, and with right references."""

from __future__ import annotations

import json
import re
from collections import Counter
from fractions import Fraction
from itertools import permutations, product
from pathlib import Path

import pytest

from noria.evals.questions import shipped_questions

MT_BENCH = Path(__file__).parents[3] / "shared" / "data" / "mt_bench" / "question.jsonl"


@pytest.fixture(scope="module")
def questions():
    return {one.id: one for one in shipped_questions()}


def test_eighty_in_eight_categories(questions):
    assert len(questions) == 80
    assert set(Counter(one.category for one in questions.values()).values()) == {10}
    for one in questions.values():
        assert len(one.turns) == 2
        assert len(one.reference) in (0, 2)
    assert len({turn for one in questions.values() for turn in one.turns}) == 160


def test_where_one_answer_is_right_it_is_there(questions):
    for one in questions.values():
        if one.category in ("math", "extraction", "grounded"):
            assert one.reference, one.id


def test_they_are_not_those_of_mt_bench(questions):
    if not MT_BENCH.exists():
        pytest.skip(f"{MT_BENCH} is not there")
    words = [
        set(re.findall(r"\w{4,}", json.loads(line)["turns"][0].lower()))
        for line in MT_BENCH.read_text().splitlines()
    ]
    for one in questions.values():
        mine = set(re.findall(r"\w{4,}", one.turns[0].lower()))
        assert all(len(mine & theirs) < 0.4 * len(mine | theirs) for theirs in words), one.id


def said(questions, name):
    return questions[name].reference


def test_figures_are_right(questions):
    both = sum(one for one in range(1, 201) if one % 3 == 0 or one % 5 == 0)
    three = sum(one for one in range(1, 201) if one % 3 == 0 and one % 5)
    assert said(questions, "math-2") == (f"{both:,}.", f"{three:,}.")
    throws = list(product(range(1, 7), repeat=2))
    assert Fraction(sum(sum(one) >= 10 for one in throws), 36) == Fraction(1, 6)
    sixes = [one for one in throws if 6 in one]
    assert Fraction(sum(sum(one) >= 10 for one in sixes), len(sixes)) == Fraction(5, 11)
    rows = [one for one in permutations("abcde") if abs(one.index("a") - one.index("b")) > 1]
    assert said(questions, "math-7")[0] == f"{len(rows)}."
    tables = [one for one in rows if {one[0], one[-1]} != {"a", "b"}]
    assert said(questions, "math-7")[1] == f"{len(tables) // 5}."
    one, two = 0.02 * 0.9, 0.02 * 0.9**2
    assert f"{100 * one / (one + 0.98 * 0.05):.1f}" in said(questions, "math-10")[0]
    assert f"{100 * two / (two + 0.98 * 0.05**2):.1f}" in said(questions, "math-10")[1]
    for people, reference in ((10, "1, 4 and 9."), (3, "1, 5, 6 and 7.")):
        on = [
            lamp for lamp in range(1, 11)
            if sum(lamp % person == 0 for person in range(1, people + 1)) % 2
        ]  # fmt: skip
        assert on == [int(one) for one in re.findall(r"\d+", reference)]
        assert reference in said(questions, "reasoning-6")
    orders = [
        order for order in permutations("ABCDE")
        if order.index("A") < order.index("B") < order.index("C") < order.index("D")
        and order.index("E") == order.index("A") + 1
    ]  # fmt: skip
    assert orders == [tuple("AEBCD")]
