"""Where values come from: the words of the request, and nothing that only looks like them."""

from __future__ import annotations

from typing import Any

import pytest

from noria.actions.choosing.justifying import Justified, justify
from tests.actions.support import operation


def source(words: str, value: Any, name: str = "value", **schema: Any) -> str | None:
    found = justify(operation("do", {name: schema}), name, value, Justified(words))
    return found.text if found is not None and found.kind == "request" else None


@pytest.mark.parametrize(
    ("words", "value", "said"),
    [
        ("name it billing", "billing", "billing"),
        ("name it Billing", "billing", "Billing"),
        ("fly to New York on Monday", "New York", "New York"),
        ("fly to New York", "newyork", "New York"),
        ("paint seven walls", 7, "seven"),
        ("wait two hours", 7200, "two hours"),
        ("a disk of 20 GiB", 20 * 2**30, "20 GiB"),
        ("it is -5 degrees", -5, "-5"),
        ("half of 0.5", 0.5, "0.5"),
        ("from 3 to 5", [3, 5], "3, 5"),
        ("ada and bob", {"one": "ada", "other": "bob"}, "ada, bob"),
        ("make it private", True, "private"),
    ],
)
def test_words_that_say_a_value(words: str, value: Any, said: str) -> None:
    name = "private" if value is True else "value"
    assert source(words, value, name) == said


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("name it billing", "bill"),
        ("name it billing", "b"),
        ("zone-77777", "zone-7"),
        ("in us-west-1", "us-west-2"),
        ("paint seven walls", 8),
        ("paint seven walls", 70),
        ("from 3 to 5", [3, 4]),
        ("do it", ""),
        ("do it", []),
        ("do it", {}),
        ("do it", None),
        ("do it", True),
        ("order a pizza", "pizza margherita"),
    ],
)
def test_values_that_nobody_said(words: str, value: Any) -> None:
    assert source(words, value) is None
