"""BFCL's rules: the accepted answers of every row pass, and what differs from them does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from noria.actions.evaluating.bfcl import BfclRow, check_calls, read_bfcl
from noria.actions.evaluating.bfcl.values import plain
from noria.actions.evaluating.call import Call
from noria.errors import ConfigError
from tests.actions.evaluating.samples import ROWS, accepted_calls, write_bfcl

SHARED = Path(__file__).parents[4] / "shared" / "data" / "actions" / "bfcl"


def mutants(row: BfclRow, calls: list[Call]) -> Iterator[tuple[str, list[Call]]]:
    """Answers that are wrong, one for each way in which that can be."""
    first, rest = calls[0], calls[1:]
    yield "a call too few", rest
    yield "a call too many", [*calls, first]
    yield "another function", [Call(f"{first.name}_x", first.arguments), *rest]
    yield "an argument too many", [Call(first.name, {**first.arguments, "zzz_": 1}), *rest]
    ((_, accepted),) = (row.accepted or ())[0].items()
    for name, value in first.arguments.items():
        left = {key: one for key, one in first.arguments.items() if key != name}
        if "" not in accepted[name] or name in _required(row, first.name):
            yield f"without {name}", [Call(first.name, left), *rest]
        if _other(value) not in accepted[name]:
            yield f"another {name}", [Call(first.name, {**left, name: _other(value)}), *rest]
        if None not in accepted[name]:
            yield f"{name} of no type", [Call(first.name, {**left, name: None}), *rest]


def _required(row: BfclRow, name: str) -> list[str]:
    function = row.functions[0] if row.is_simple else row.function(name)
    assert function is not None
    return list(function["parameters"].get("required") or ())


def _other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 987_654
        case str():
            return "qzxw"
        case list():
            return [*value, "qzxw"]
        case dict():
            return {**value, "qzxw": 1}
    return "qzxw"


def test_accepted_answers_pass_and_mutants_do_not(tmp_path: Path) -> None:
    rows = list(read_bfcl(write_bfcl(tmp_path)))
    assert len(rows) == len(ROWS)
    for row in rows:
        if row.accepted is None:
            continue
        calls = accepted_calls(row)
        assert check_calls(row, calls) is None, (row.id, check_calls(row, calls))
        assert check_calls(row, calls[::-1]) is None, row.id
        for how, wrong in mutants(row, calls):
            assert check_calls(row, wrong) is not None, (row.id, how, wrong)


@pytest.mark.skipif(
    not SHARED.exists() and os.environ.get("CI") != "true",
    reason="../shared/data/actions/bfcl is absent",
)
def test_every_row_of_the_real_set() -> None:
    rows = list(read_bfcl(SHARED))
    assert rows
    contradicted = []
    for row in rows:
        if row.accepted is None:
            assert (check_calls(row, []) is None) == (not row.wants_call)
            continue
        calls = accepted_calls(row)
        if check_calls(row, calls) is not None:
            contradicted.append(row.id)
            continue
        for how, wrong in mutants(row, calls):
            assert check_calls(row, wrong) is not None, (row.id, how, wrong)
    # Rows whose accepted answers BFCL's own checker refuses: they contradict their functions.
    assert len(contradicted) <= 0.01 * len(rows), contradicted


def row_of(name: str, tmp_path: Path) -> BfclRow:
    return next(row for row in read_bfcl(write_bfcl(tmp_path)) if row.id == name)


@pytest.mark.parametrize(
    ("name", "arguments", "right"),
    [
        ("simple_python_0", {"base": 10, "height": 5}, True),
        ("simple_python_0", {"base": 10.0, "height": 5}, False),
        ("simple_python_0", {"base": "10", "height": 5}, False),
        ("simple_python_0", {"base": True, "height": 5}, False),
        ("simple_python_0", {"base": 10, "height": 5.0, "unit": "UNITS."}, True),
        ("simple_python_0", {"base": 10, "height": 5.0, "unit": ""}, True),
        ("simple_python_0", {"base": 10, "height": 5.0, "unit": "cm"}, False),
        ("simple_python_1", {"numbers": [1.0, 2.5]}, True),
        ("simple_python_1", {"numbers": [2.5, 1.0]}, False),
        ("simple_python_1", {"numbers": [1, 2.5]}, False),
        ("simple_python_1", {"numbers": ["1.0", 2.5]}, False),
        ("simple_python_2", {"items": [{"name": "Pens", "colour": "RED"}]}, True),
        ("simple_python_2", {"items": [{"name": "pen", "colour": "red", "count": 2}]}, True),
        ("simple_python_2", {"items": [{"name": "pen", "colour": "red", "count": 3}]}, False),
        ("simple_python_2", {"items": [{"name": "pen"}]}, False),
        ("simple_python_2", {"items": []}, False),
        ("simple_python_2", {"items": [{"name": "pen", "colour": "red"}],
                             "to": {"street": "12 main street"}}, True),
        ("simple_python_2", {"items": [{"name": "pen", "colour": "red"}],
                             "to": {"street": "13 Main St."}}, False),
        ("simple_python_2", {"items": [{"name": "pen", "colour": "red"}], "gift": False}, True),
        ("simple_python_2", {"items": [{"name": "pen", "colour": "red"}], "gift": True}, False),
        ("simple_python_3", {"of": (1, 2)}, True),
        ("simple_python_3", {"of": [1, 2]}, True),
        ("simple_java_0", {"count": 5, "total": "7L", "on": "true", "sizes": "new int[]{1, 2}",
                           "options": 'new HashMap<>() {{ put("depth", 3); }}',
                           "view": "mainView"}, False),
    ],
)  # fmt: skip
def test_rules(name: str, arguments: dict[str, Any], right: bool, tmp_path: Path) -> None:
    row = row_of(name, tmp_path)
    assert row.accepted is not None
    (function,) = row.accepted[0]
    wrong = check_calls(row, [Call(function, arguments)])
    assert (wrong is None) == right, wrong


def test_texts_are_compared_without_case_spaces_and_some_punctuation() -> None:
    assert plain("April 1, 2024") == plain("april_1/2024") == "april12024"
    assert plain("it's") == 'it"s'


def test_nothing_is_right_where_nothing_fits(tmp_path: Path) -> None:
    some = [Call("sum", {"numbers": [1.0]})]
    none_wanted = row_of("irrelevance_0", tmp_path / "a")
    wanted = row_of("live_relevance_0-0-0", tmp_path / "b")
    assert check_calls(none_wanted, []) is None
    assert check_calls(none_wanted, some) is not None
    assert check_calls(wanted, some) is None
    assert check_calls(wanted, []) is not None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"id": "simple_0", "question": "x", "function": []}', "ground_truth"),
        ('{"id": "simple_0", "question": 3, "function": [], "ground_truth": [{"f": {}}]}',
         "question"),
        ('{"id": "simple_0", "question": "x", "function": [{"name": 1}]}', "function"),
        ('{"id": "simple_0", "question": "x", "function": [], "ground_truth": ["f"]}',
         "ground_truth"),
        ("{", "line 1"),
        ("[1]", "list of objects"),
    ],
)  # fmt: skip
def test_rows_of_another_form_are_refused(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "BFCL_v4_simple.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=told):
        list(read_bfcl(file))
