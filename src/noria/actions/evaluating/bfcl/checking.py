"""Whether the calls of an answer are right, by the rules of BFCL's AST checker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from noria.actions.evaluating.bfcl.literals import JAVA, JAVASCRIPT, read_java, read_javascript
from noria.actions.evaluating.bfcl.rows import BfclRow
from noria.actions.evaluating.bfcl.values import is_accepted
from noria.actions.evaluating.call import Call

__all__ = ["check_calls"]

PYTHON: dict[str, type] = {
    "string": str, "integer": int, "float": float, "boolean": bool, "array": list, "tuple": list,
    "dict": dict, "any": str,
}  # fmt: skip
_LISTS = {"array", "tuple", "Array", "ArrayList"}


def check_calls(row: BfclRow, calls: Sequence[Call]) -> str | None:
    """Check an answer to a row.

    Args:
        row: the question, its functions and the accepted answers.
        calls: what the model called; none where it refused.

    Returns:
        None where it is right, else what is wrong.
    """
    if row.accepted is None:
        if row.wants_call:
            return None if calls else "nothing was called"
        return f"{calls[0].name} was called, and no function fits" if calls else None
    if len(calls) != len(row.accepted):
        return f"{len(calls)} calls, not {len(row.accepted)}"
    if len(calls) == 1:
        described = row.functions[0] if row.is_simple else None
        return _check_one(row, row.accepted[0], calls[0], described)
    return _check_in_any_order(row, calls)


def _check_in_any_order(row: BfclRow, calls: Sequence[Call]) -> str | None:
    """Each accepted call takes the first of the calls that is right and that no other has taken."""
    assert row.accepted is not None
    free = list(calls)
    for accepted in row.accepted:
        wrong = ""
        for call in free:
            wrong = _check_one(row, accepted, call) or ""
            if not wrong:
                free.remove(call)
                break
        else:
            return f"no call is {next(iter(accepted))}: {wrong}"
    return None


def _check_one(
    row: BfclRow,
    accepted: Mapping[str, Any],
    call: Call,
    function: Mapping[str, Any] | None = None,
) -> str | None:
    name, answers = next(iter(accepted.items()))
    function = function or row.function(name)
    if function is None:
        return f"no function is called {name}"
    if call.name != function["name"]:
        return f"{call.name} was called, not {function['name']}"
    parameters = function["parameters"]
    for required in parameters.get("required") or ():
        if required not in call.arguments:
            return f"{required} is missing"
    described = parameters.get("properties") or {}
    for parameter, value in call.arguments.items():
        if parameter not in described or parameter not in answers:
            return f"{parameter} is not expected"
        wrong = _check_value(value, described[parameter], answers[parameter], row.language)
        if wrong:
            return f"{parameter} {wrong}"
    for parameter, values in answers.items():
        if parameter not in call.arguments and "" not in values:
            return f"{parameter} is missing and not optional"
    return None


def _check_value(
    value: Any, described: Mapping[str, Any], accepted: Sequence[Any], language: str
) -> str | None:
    kinds = {"java": JAVA, "javascript": JAVASCRIPT}.get(language, PYTHON)
    name = described["type"]
    kind = kinds.get(name)
    if kind is None:
        return f"is described with the type {name!r}, which {language} does not have"
    item_name = (described.get("items") or {}).get("type") if name in _LISTS else None
    item_kind = kinds.get(item_name) if item_name is not None else None
    if language != "python":
        if type(value) is not str:
            return f"must be written as {language} has it, in a text"
        read = read_java if language == "java" else read_javascript
        value = read(value, name, item_name)
    elif name == "tuple" and type(value) is tuple:
        value = list(value)
    elif name == "float" and type(value) is int:
        value = float(value)
    return is_accepted(value, accepted, kind, item_kind)
