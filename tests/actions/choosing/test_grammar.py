"""The grammar of a request: of any schema, however large, hostile or contradictory."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.actions.choosing.grammar import make_grammar
from noria.actions.choosing.narrowing import Unsatisfiable, narrowed
from noria.testing.answers import instance
from tests.actions.support import EC2, launching, operation


def branches(*operations: Any, words: str = "x") -> dict[str, Any]:
    grammar = make_grammar(operations, EC2, words)
    items = grammar.schema["properties"]["calls"]["items"]["oneOf"]
    return {one["properties"]["operation"]["const"]: one for one in items}


def test_a_branch_for_each_operation_one_to_refuse_one_to_ask() -> None:
    paint = operation("paint", {"colour": {"type": "string"}}, ["colour"])
    found = branches(paint, operation("list"))
    assert found.keys() == {"shop.paint", "shop.list", "refuse", "ask"}
    assert found["ask"]["properties"]["parameter"] == {"enum": ["colour"]}


def test_names_are_those_of_the_live_offers() -> None:
    said = branches(launching())["ec2.run_instances"]["properties"]["arguments"]["properties"]
    assert set(said["region"]["enum"]) == {one.region for one in EC2}
    assert set(said["instance_type"]["enum"]) == {one.instance_type for one in EC2}


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": []},
        {"type": "string", "enum": [1, 2]},
        {"const": 1, "enum": [2]},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "integer", "exclusiveMinimum": 5, "maximum": 5},
        {"type": "string", "minLength": 5, "maxLength": 4},
        {"type": "array", "minItems": 2, "maxItems": 1},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"allOf": [{"enum": ["a"]}, {"enum": ["b"]}]},
        {"oneOf": [{"enum": []}, False]},
        {"not": {}},
        False,
        {"type": "colour"},
        {"type": "object", "required": ["a"], "properties": {}, "additionalProperties": False},
        {"type": "array", "minItems": 1, "items": False},
    ],
)
def test_an_operation_that_no_value_satisfies_is_left_out_with_the_reason(schema: Any) -> None:
    with pytest.raises(Unsatisfiable):
        narrowed(schema, "")
    impossible = operation("never", {"value": schema}, ["value"])
    grammar = make_grammar((impossible, operation("list")), (), "x")
    assert [one.name for one in grammar.operations] == ["list"]
    assert "value" in grammar.dropped["shop.never"]


def test_an_optional_parameter_that_nothing_satisfies_is_left_out() -> None:
    odd = operation("paint", {"colour": {"type": "string"}, "odd": False}, ["colour"])
    said = branches(odd)["shop.paint"]["properties"]["arguments"]
    assert said["properties"].keys() == {"colour"}


def test_of_a_long_list_the_values_near_the_words_stay() -> None:
    values = [f"zone-{place}" for place in range(100_000)]
    large = operation("start", {"zone": {"type": "string", "enum": values}}, ["zone"])
    said = branches(large, words="start it in zone-77777")["shop.start"]
    kept = said["properties"]["arguments"]["properties"]["zone"]["enum"]
    assert kept[0] == "zone-77777"
    assert len(kept) <= 40


def test_a_schema_within_itself_ends() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(50):
        deep = {"type": "object", "properties": {"next": deep}}
    assert branches(operation("walk", {"path": deep}))


SCHEMAS = st.recursive(
    st.one_of(
        st.booleans(),
        st.sampled_from(["string", "integer", "number", "boolean", "null"]).map(
            lambda kind: {"type": kind}
        ),
        st.lists(st.one_of(st.text(max_size=3), st.integers(0, 9)), max_size=3, unique=True).map(
            lambda values: {"enum": values}
        ),
        st.tuples(st.integers(0, 9), st.integers(0, 9)).map(
            lambda pair: {"type": "integer", "minimum": pair[0], "maximum": pair[1]}
        ),
    ),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(
            lambda named: {"type": "object", "properties": named, "required": sorted(named)[:1]}
        ),
        inner.map(lambda one: {"type": "array", "items": one}),
        st.lists(inner, min_size=1, max_size=2).map(lambda some: {"anyOf": some}),
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(SCHEMAS)
def test_what_fits_the_narrowed_schema_fits_the_whole_one(schema: Any) -> None:
    try:
        small = narrowed(schema, "")
    except Unsatisfiable:
        return
    value = instance(small)
    jsonschema.validate(value, small)
    jsonschema.validate(value, schema)
