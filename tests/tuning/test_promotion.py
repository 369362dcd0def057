"""Promotion: right at every look, refused with figures, taken back at once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from noria.errors import NotFound
from noria.models.promotions import Promotions, promoted
from noria.tuning.promotion import evidence_of, wealth


@pytest.mark.parametrize("ties", [0.0, 0.3, 0.8])
def test_challengers_that_are_no_better_are_hardly_ever_promoted(ties: float) -> None:
    """A look after each of 200 battles; of 300 equal challengers at most 5 % may pass at any
    time. The expected number is below 4 %; 23 of 300 is four standard deviations above 5 %."""
    passed = 0
    for number in range(300):
        chance = random.Random(number)
        scores = [
            0.5 if chance.random() < ties else float(chance.random() < 0.5) for _ in range(200)
        ]
        passed += any(now >= 20 for now in wealth(scores, 0.5))
    assert passed <= 23


def test_a_better_challenger_is_promoted_and_told_how_far_it_is() -> None:
    few = evidence_of("local:new", "local:old", [1.0, 0.5, 1.0])
    assert not few.enough
    assert few.more is not None
    assert 1 <= few.more < 100
    assert evidence_of("local:new", "local:old", [1.0, 0.0]).more is None
    assert evidence_of("local:new", "local:old", []).more is None
    many = evidence_of("local:new", "local:old", [1.0, 1.0, 0.5, 1.0, 0.0] * 20)
    assert many.enough
    assert 0.5 < many.low < many.score < many.high


def test_a_roll_back_brings_back_what_was_before(tmp_path: Path) -> None:
    promotions = Promotions(tmp_path)
    assert promoted(tmp_path, "support") is None
    promotions.promote("support", "local:one", "local:old", {})
    promotions.promote("support", "local:two", "local:one", {})
    assert promoted(tmp_path, "support") == "local:two"
    assert promotions.roll_back("support").replaced == "local:one"
    assert promoted(tmp_path, "support") == "local:one"
    promotions.roll_back("support")
    assert promoted(tmp_path, "support") is None
    with pytest.raises(NotFound):
        promotions.roll_back("support")
