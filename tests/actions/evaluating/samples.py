"""Rows in BFCL's form, one for each of its rules: the small sibling of the real set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from noria.actions.evaluating.bfcl import BfclRow
from noria.actions.evaluating.call import Call

__all__ = ["ROWS", "accepted_calls", "write_bfcl"]


def _function(name: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    parameters = {"type": "dict", "properties": properties, "required": required}
    return {"name": name, "description": f"{name}.", "parameters": parameters}


TEXT, WHOLE, FLOAT = {"type": "string"}, {"type": "integer"}, {"type": "float"}
AREA = _function("geometry.area", {"base": WHOLE, "height": FLOAT, "unit": TEXT},
                 ["base", "height"])  # fmt: skip
SUM = _function("sum", {"numbers": {"type": "array", "items": {"type": "float"}}}, ["numbers"])
ORDER = _function(
    "order",
    {"items": {"type": "array", "items": {"type": "dict"}}, "to": {"type": "dict"},
     "gift": {"type": "boolean"}},
    ["items"],
)  # fmt: skip
PAIR = _function("pair", {"of": {"type": "tuple", "items": {"type": "integer"}}}, ["of"])

ROWS: list[dict[str, Any]] = [
    {"id": "simple_python_0", "question": "Area of base 10 and height 5?", "function": [AREA],
     "ground_truth": [{"geometry.area": {"base": [10], "height": [5.0], "unit": ["units", ""]}}]},
    {"id": "simple_python_1", "question": "Sum 1, 2.5", "function": [SUM],
     "ground_truth": [{"sum": {"numbers": [[1.0, 2.5]]}}]},
    {"id": "simple_python_2", "question": "Order two red pens to 12 Main St.", "function": [ORDER],
     "ground_truth": [{"order": {
         "items": [[{"name": ["pen", "pens"], "colour": ["red"], "count": [2, ""]}]],
         "to": [{"street": ["12 Main St.", "12 Main Street"]}, ""], "gift": ["", False]}}]},
    {"id": "simple_python_3", "question": "The pair 1, 2", "function": [PAIR],
     "ground_truth": [{"pair": {"of": [[1, 2]]}}]},
    {"id": "multiple_0", "question": "Sum 3 and 4", "function": [AREA, SUM],
     "ground_truth": [{"sum": {"numbers": [[3.0, 4.0]]}}]},
    {"id": "parallel_0", "question": "Sum 1 and 2, and sum 3 and 4", "function": [SUM],
     "ground_truth": [{"sum": {"numbers": [[1.0, 2.0]]}}, {"sum": {"numbers": [[3.0, 4.0]]}}]},
    {"id": "parallel_multiple_0", "question": "Area 1 by 2, sum 3", "function": [AREA, SUM],
     "ground_truth": [{"geometry.area": {"base": [1], "height": [2.0]}},
                      {"sum": {"numbers": [[3.0]]}}]},
    {"id": "irrelevance_0", "question": "Who won the cup in 2010?", "function": [SUM]},
    {"id": "live_relevance_0-0-0", "question": "Add 1 and 2", "function": [SUM]},
    {"id": "simple_java_0", "question": "Initialise with 5 and true",
     "function": [_function("Ui.init", {
         "count": {"type": "integer"}, "total": {"type": "long"}, "on": {"type": "boolean"},
         "sizes": {"type": "Array", "items": {"type": "integer"}},
         "options": {"type": "HashMap"}, "view": {"type": "any"}}, ["count"])],
     "ground_truth": [{"Ui.init": {"count": [5], "total": [7], "on": [True], "sizes": [[1, 2]],
                                   "options": [{"depth": [3]}], "view": ["mainView"]}}]},
    {"id": "simple_javascript_0", "question": "Render the list", "function": [
        _function("render", {"list": {"type": "array", "items": {"type": "String"}},
                             "options": {"type": "dict"}, "big": {"type": "Bigint"}}, ["list"])],
     "ground_truth": [{"render": {"list": [["a", "b"]], "options": [{"wide": [True]}],
                                  "big": [9]}}]},
]  # fmt: skip


def write_bfcl(folder: Path, rows: list[dict[str, Any]] | None = None) -> Path:
    """The rows as BFCL has them: questions in one file, the answers in `possible_answer`."""
    file = folder / "BFCL_v4_sample.json"
    (folder / "possible_answer").mkdir(parents=True)
    asked, answers = [], []
    for row in rows or ROWS:
        turns = [[{"role": "user", "content": row["question"]}]]
        asked.append({"id": row["id"], "question": turns, "function": row["function"]})
        if "ground_truth" in row:
            answers.append({"id": row["id"], "ground_truth": row["ground_truth"]})
    file.write_text("\n".join(map(json.dumps, asked)))
    (folder / "possible_answer" / file.name).write_text("\n".join(map(json.dumps, answers)))
    return file


def accepted_calls(row: BfclRow) -> list[Call]:
    """One answer that is right, made from the accepted values."""
    calls = []
    for accepted in row.accepted or ():
        ((name, values),) = accepted.items()
        function = row.functions[0] if row.is_simple else row.function(name)
        assert function is not None
        described = function["parameters"]["properties"]
        arguments = {}
        for parameter, allowed in values.items():
            chosen = [one for one in allowed if one != ""]
            if chosen:
                kind = described.get(parameter, {})
                arguments[parameter] = _written(_plain(chosen[0]), kind, row.language)
        calls.append(Call(name, arguments))
    return calls


def _plain(value: Any) -> Any:
    """Of an object, the first accepted value of each key."""
    if isinstance(value, dict):
        keys = {key: [one for one in allowed if one != ""] for key, allowed in value.items()}
        return {key: allowed[0] for key, allowed in keys.items() if allowed}
    if isinstance(value, list):
        return [_plain(one) if isinstance(one, dict) else one for one in value]
    return value


def _written(value: Any, described: dict[str, Any], language: str) -> Any:
    """As the language writes it."""
    if language == "python":
        return value
    kind, items = described.get("type"), (described.get("items") or {}).get("type")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{value}{ {'long': 'L', 'float': 'f', 'Bigint': 'n'}.get(str(kind), '') }"
    if language == "java" and isinstance(value, list):
        quoted = '"{}"' if kind == "ArrayList" and (items == "String" or not items) else "{}"
        inner = ", ".join(quoted.format(one) if isinstance(one, str) else
                          _written(one, {"type": items}, language) for one in value)  # fmt: skip
        if kind == "ArrayList":
            return f"new ArrayList<>(Arrays.asList({inner}))" if value else "new ArrayList<>()"
        return f"new Object[]{{{inner}}}"
    if language == "java" and isinstance(value, dict):
        puts = " ".join(f'put("{key}", {json.dumps(one)});' for key, one in value.items())
        return f"new HashMap<String, Object>() {{{{ {puts} }}}}"
    if isinstance(value, (list, dict)):
        if isinstance(value, dict):
            return "{" + ", ".join(f"{key}: {json.dumps(one)}" for key, one in value.items()) + "}"
        return json.dumps(value)
    return value
