"""`noria.evals.Decision`: what it may say, after however many looks."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.evals import Decision, Measure, State


def ever(decision: Decision, values: list[float]) -> set[State]:
    """Look after each value; return all that was ever said."""
    said = set()
    for value in values:
        decision.add(value)
        said.add(decision.verdict)
    return said


@pytest.mark.parametrize("ties", [0.0, 0.3, 0.9])
def test_equal_contestants_are_seldom_told_apart_under_looks(ties: float) -> None:
    rng = random.Random(int(ties * 10))
    wrong = 0
    for _ in range(100):
        values = [0.5 if rng.random() < ties else float(rng.random() < 0.5) for _ in range(300)]
        wrong += State.BETTER in ever(Decision("win_rate"), values)
    assert wrong <= 5


def test_voters_who_repeat_themselves_mislead_only_who_ignores_it() -> None:
    wrong = {True: 0, False: 0}
    for seed in range(60):
        for known in wrong:
            rng, decision = random.Random(seed), Decision("win_rate")
            fooled = False
            for voter in range(15):
                taste = rng.choice((0.1, 0.9))
                for _ in range(20):
                    name = str(voter) if known else None
                    decision.add(float(rng.random() < taste), cluster=name)
                    fooled |= decision.verdict is State.BETTER
            wrong[known] += fooled
    assert wrong[True] <= 3
    assert wrong[False] >= 12


def test_a_better_challenger_is_found() -> None:
    rng = random.Random(1)
    found = sum(
        State.BETTER in ever(Decision("win_rate"), [float(rng.random() < 0.7) for _ in range(600)])
        for _ in range(20)
    )
    assert found >= 19


def test_one_tie_says_nothing() -> None:
    decision = Decision("rating", margin=50)
    decision.add(0.5)
    assert decision.verdict is State.UNDECIDED
    assert decision.interval.lower == float("-inf")
    assert decision.interval.upper == float("inf")


def test_many_ties_are_at_least_as_good() -> None:
    decision = Decision("win_rate", margin=0.05)
    for _ in range(500):
        decision.add(0.5)
    assert decision.verdict is State.AT_LEAST_AS_GOOD
    assert 0.0 in decision.interval


def test_two_variants_with_a_lasting_difference() -> None:
    rng, decision = random.Random(3), Decision(Measure.MEANS, share=0.3)
    for _ in range(4000):
        challenger = rng.random() < 0.3
        decision.add(float(rng.random() < (0.8 if challenger else 0.6)), challenger=challenger)
    assert decision.verdict is State.BETTER
    assert 0.2 in decision.interval


def test_one_voter_is_one_vote() -> None:
    decision = Decision("win_rate")
    for _ in range(10_000):
        decision.add(1.0, cluster="ann")
    assert (decision.count, decision.left_out) == (1, 9_999)
    assert decision.verdict is State.UNDECIDED


def test_more_measures_ask_for_more() -> None:
    alone, of_twenty = Decision("win_rate"), Decision("win_rate", measures=20)
    for decision in (alone, of_twenty):
        for _ in range(40):
            decision.add(1.0)
    assert of_twenty.interval.lower < alone.interval.lower


def test_how_many_more_are_needed() -> None:
    decision = Decision("win_rate")
    for place in range(40):
        decision.add(float(place % 2))
    small, large = decision.more_needed(0.1), decision.more_needed(0.3)
    assert small is not None
    assert large is not None
    assert 0 < large < small
    assert decision.more_needed(0.0) is None
    # At the rate that was assumed it is decided after about as many.
    took = 0
    while decision.verdict is State.UNDECIDED:
        decision.add(float(took % 5 != 4))
        took += 1
    assert 0.5 * large < took < 1.5 * large
    assert decision.more_needed(0.3) == 0
    assert Decision("win_rate", margin=0.1).more_needed(0.0) is not None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from([None, "a", "b"])), max_size=60))
def test_it_goes_on_from_its_json(seen: list[tuple[float, str | None]]) -> None:
    whole, parted = Decision("win_rate", per_cluster=2), Decision("win_rate", per_cluster=2)
    for place, (value, cluster) in enumerate(seen):
        whole.add(value, cluster=cluster)
        parted.add(value, cluster=cluster)
        if place == len(seen) // 2:
            parted = Decision.from_json(json.loads(json.dumps(parted.to_json())))
    assert parted.to_json() == whole.to_json()
    assert parted.interval == whole.interval


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=80))
def test_the_verdict_says_what_the_interval_says(values: list[float]) -> None:
    decision = Decision("difference")
    for value in values:
        decision.add(value)
    interval, verdict = decision.interval, decision.verdict
    assert interval.lower - 1e-12 <= interval.value <= interval.upper + 1e-12
    if verdict is State.BETTER:
        assert interval.lower >= -1e-12
    elif verdict is State.WORSE:
        assert interval.upper <= 1e-12


@pytest.mark.parametrize(("value", "challenger"), [(1.5, None), (float("nan"), None), (1.0, True)])
def test_what_is_no_observation_is_refused(value: float, challenger: bool | None) -> None:
    decision = Decision("win_rate")
    with pytest.raises(ValueError, match=r"value is|challenger says"):
        decision.add(value, challenger=challenger)
    assert decision.count == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"bounds": (1.0, 0.0)}, {"bounds": (0.0, 2.0)}, {"confidence": 1.0}, {"margin": -1.0},
        {"measures": 0}, {"share": 0.0}, {"per_cluster": 0},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Decision("win_rate", **wrong)  # type: ignore[arg-type]


def test_a_decision_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format is 9"):
        Decision.from_json({**Decision("win_rate").to_json(), "format": 9})
    broken = Decision("win_rate").to_json()
    del broken["sum"]
    with pytest.raises(ValueError, match="sum is missing"):
        Decision.from_json(broken)
