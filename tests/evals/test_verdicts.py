"""What is read out of a judge's text, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.evals import parse_verdict
from noria.evals.verdicts import STYLES, Verdict, both_orders


@pytest.mark.parametrize(
    ("text", "score", "strict"),
    [
        ("Rating: [[7]]", 7, True),
        ("The answer is good.\n\n**Rating: [[8.5]]**", 8.5, True),
        ("First I thought [[3]], but no: [[9]].", 9, True),
        ("[[10]]", 10, True),
        ("At the rating [[2]] I stay. See [4].", 2, True),
        ("[7]", 7, False),
        ("Rating: [7]", 7, False),
        ("**Rating:** [7]", 7, False),
        ("**[7]**", 7, False),
        ("Rating: [[**7**]]", 7, False),
        (r"Rating: \[\[7\]\]", 7, False),
        ("Rating: [[ 7 ]]", 7, False),
        ("> `[6]`", 6, False),
        ("I would give this a rating of [5].", 5, False),
        ("First: [4]\nFinal rating: [6]", 6, False),
    ],
)
def test_ratings(text, score, strict):
    assert parse_verdict(text, "rating") == Verdict("score", score=score, strict=strict)


@pytest.mark.parametrize(
    "text",
    [
        "Rating: 7",
        "7",
        "7/10",
        "**7**",
        "I would give it 7 out of 10, since 3 of 4 steps are right.",
        "As the paper shows [1], the moon is old.",
        "The moon is old [1]",
        "[[7",
        "[[seven]]",
        "[[70]]",
        "[[-3]]",
        "[[A]]",
        "",
        "   \n",
        "Die Antwort ist gut, ich gebe eine Sieben.",
        "评分：七",
    ],
)
def test_no_rating(text):
    assert parse_verdict(text, "rating").kind == "invalid"


@pytest.mark.parametrize(
    ("text", "winner", "strict", "strong"),
    [
        ("[[A]]", "a", True, False),
        ("Both are good, but B is deeper. [[B]]", "b", True, False),
        ("[[C]]", "tie", True, False),
        ("My final verdict is: [[A>>B]]", "a", True, True),
        ("[[A>B]]", "a", True, False),
        ("[[A=B]]", "tie", True, False),
        ("[[B>A]]", "b", True, False),
        ("**[[B>>A]]**", "b", True, True),
        ("[[A]] at first sight. [[B]] at last.", "b", True, False),
        ("[[B]] because [[D]] is not among the choices", "b", True, False),
        ("[A]", "a", False, False),
        ("Verdict: [b]", "b", False, False),
        ("[[A >> B]]", "a", False, True),
        ("[[**C**]]", "tie", False, False),
        ("`[B>A]`", "b", False, False),
    ],
)
def test_choices(text, winner, strict, strong):
    found = parse_verdict(text, "choice")
    assert (found.winner, found.strict, found.strong) == (winner, strict, strong)
    assert found.kind == ("tie" if winner == "tie" else "winner")


@pytest.mark.parametrize(
    "text",
    ["A", "Assistant A is better.", "[[AB]]", "[[A|B]]", "[[7]]", "in vitamins [A]", "[[A>>>B]]"],
)
def test_no_choice(text):
    assert parse_verdict(text, "choice").kind == "invalid"


@pytest.mark.parametrize(
    ("text", "scores", "strict"),
    [
        ("8 9\nAssistant 2 was more precise.", (8, 9), True),
        ("7.5 7.5", (7.5, 7.5), True),
        ("10, 3\n\nThe second is wrong.", (10, 3), True),
        ("\n9 8\nWell.", (9, 8), True),
        ("**8 9**\nIndeed.", (8, 9), False),
        ("[8, 9]", (8, 9), False),
    ],
)
def test_pair_scores(text, scores, strict):
    found = parse_verdict(text, "pair-scores")
    assert (found.scores, found.strict) == (scores, strict)
    a, b = scores
    assert found.winner == ("a" if a > b else "b" if b > a else "tie")
    assert found.kind == ("tie" if a == b else "winner")


@pytest.mark.parametrize(
    "text",
    [
        "Assistant 1 gets 8 and assistant 2 gets 9",
        "8\n9",
        "8",
        "8 9 10",
        "Here are the scores:\n8 9",
        "8 90",
        "8-9",
        "",
    ],
)
def test_no_pair_scores(text):
    assert parse_verdict(text, "pair-scores").kind == "invalid"


@pytest.mark.parametrize("style", STYLES)
def test_a_refusal_is_told_from_nonsense(style):
    assert parse_verdict("I'm sorry, but I can't help with that.", style).kind == "refusal"
    assert parse_verdict("Bananas.", style).kind == "invalid"


def test_a_verdict_after_an_apology_counts():
    assert parse_verdict("I'm sorry, but I must say: [[2]]", "rating").score == 2


def test_scale():
    assert parse_verdict("[[70]]", "rating", scale=(0, 100)).score == 70
    assert parse_verdict("[[0]]", "rating", scale=(1, 10)).kind == "invalid"


def test_an_unknown_style_is_refused():
    with pytest.raises(ValueError, match="pair-scores, rating, choice"):
        parse_verdict("[[7]]", "stars")


def choice(letter):
    return parse_verdict(f"[[{letter}]]", "choice")


@pytest.mark.parametrize(
    ("shown", "exchanged", "kind", "winner"),
    [
        ("A", "B", "winner", "a"),
        ("B", "A", "winner", "b"),
        ("C", "C", "tie", "tie"),
        ("A", "A", "inconsistent", None),  # the first one wins, whoever it is
        ("B", "B", "inconsistent", None),
        ("A", "C", "inconsistent", None),
        ("A>>B", "B>A", "winner", "a"),
        ("A", "nonsense", "invalid", None),
    ],
)
def test_both_orders(shown, exchanged, kind, winner):
    found = both_orders(choice(shown), choice(exchanged))
    assert (found.kind, found.winner) == (kind, winner)


def test_both_orders_of_scores_are_averaged():
    one = parse_verdict("8 6", "pair-scores")
    two = parse_verdict("5 7", "pair-scores")
    assert both_orders(one, two) == Verdict("winner", "a", scores=(7.5, 5.5), strict=True)


def test_a_refusal_in_one_order_is_a_refusal():
    refusal = parse_verdict("I cannot help with that.", "choice")
    assert both_orders(refusal, choice("A")).kind == "refusal"


@given(st.text(), st.sampled_from(STYLES))
def test_any_text_has_a_verdict(text, style):
    found = parse_verdict(text, style)
    assert (found.winner is None) == (found.kind in ("invalid", "refusal", "score"))
    assert found.swapped().swapped() == found


@given(st.text(alphabet="[]A>B= 0123456789.\n*Rating:", max_size=80), st.sampled_from(STYLES))
def test_what_looks_like_a_verdict_does_no_harm(text, style):
    found = parse_verdict(text, style)
    for number in [found.score, *(found.scores or ())]:
        assert number is None or 0 <= number <= 10


@given(st.text(alphabet=st.characters(exclude_characters="[]"), max_size=80), st.integers(0, 10))
def test_what_stands_round_a_strict_verdict_does_not_matter(text, score):
    assert parse_verdict(f"{text}[[{score}]]{text}", "rating").score == score
