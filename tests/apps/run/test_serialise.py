"""Whatever a function takes and gives can be recorded, and nothing that can be read is changed."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from noria.apps.run.serialise import MOST_BYTES, as_json, as_text

plain_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


class Color(enum.Enum):
    RED = "red"


class Point(BaseModel):
    x: int
    when: datetime.date


@dataclasses.dataclass
class Pair:
    left: Any
    right: Any


class Evil:
    def __repr__(self) -> str:
        raise SystemError

    def __getattr__(self, name: str) -> Any:
        if name == "model_dump":
            raise RuntimeError(name)
        raise AttributeError(name)


ODD = (
    [object(), Evil(), lambda: 1, 1j, b"\xff", range(3), 2**100, "\ud800", float("nan"), Ellipsis,
     Color.RED, decimal.Decimal("1.5"), datetime.timedelta(1), Point(x=1, when="2026-01-01"),
     {1: 2}, {(1, 2): object()}, {Evil(): 1}, frozenset({1}), type, ValueError("x")]
)  # fmt: skip
odd = st.integers(0, len(ODD) - 1).map(lambda number: ODD[number])
anything = st.recursive(
    plain_json | odd,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.builds(Pair, inner, inner)
    ),
    max_leaves=8,
)


@given(plain_json)
def test_json_is_recorded_exactly(value: Any) -> None:
    assert orjson.loads(as_json(value)) == value


@given(anything)
def test_nothing_fails(value: Any) -> None:
    orjson.loads(as_json(value))


def test_forms() -> None:
    assert orjson.loads(as_json(Pair(Color.RED, Point(x=1, when="2026-01-01")))) == {  # type: ignore[arg-type]
        "left": "red",
        "right": {"x": 1, "when": "2026-01-01"},
    }
    assert orjson.loads(as_json({"a": object, "b": 1}))["b"] == 1
    assert as_json(math.nan) == b"null"


def test_a_long_record_is_cut_and_says_so() -> None:
    record = orjson.loads(as_json(["x" * 100] * 10_000))
    assert record["cut"] is True
    assert record["bytes"] > MOST_BYTES
    assert record["beginning"].startswith('["xxx')


@pytest.mark.parametrize(
    ("value", "text"),
    [("as it is", "as it is"), (3, "3"), ({"a": [1]}, '{"a":[1]}'), (None, "null")],
)
def test_as_words(value: Any, text: str) -> None:
    assert as_text(value) == text
