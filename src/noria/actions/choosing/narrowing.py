"""Schemas of parameters, cut down to what a grammar can hold a model to.

Documentation is hostile or merely large: schemas that contradict themselves, enums of 100,000
names, objects inside of objects without an end. What is cut is only what the model may say; what
it said is checked against the whole schema afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["TIGHT", "WIDE", "Breadth", "Unsatisfiable", "narrowed"]

_DEEPEST = 4
_MOST_CHARACTERS = 240
_MOST_ITEMS = 8
_KEPT = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength",
         "minItems", "maxItems")  # fmt: skip
_TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")
_SCALARS: dict[str, Any] = {"type": ["string", "number", "boolean", "null"]}
_WORDS = re.compile(r"[^\W_]+(?:[._-][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Breadth:
    """How much of a schema is kept."""

    names: int
    """The most values of an enum that a model chooses from."""
    properties: int
    """The most parameters; those that are required are kept beyond it."""


WIDE = Breadth(40, 24)
TIGHT = Breadth(8, 0)


class Unsatisfiable(Exception):
    """No value fits a schema; the message says which part of it contradicts itself."""


def narrowed(schema: Any, words: str, breadth: Breadth = WIDE) -> dict[str, Any]:
    """A schema of the plain sort with the same meaning, or a narrower one.

    Args:
        schema: a JSON schema whose references are resolved.
        words: the request: of a long enum the values near its words are kept.
        breadth: how much of it is kept.

    Raises:
        Unsatisfiable: no value fits it.
    """
    return _Narrowing(words, breadth).of(schema, "the arguments", 0)


class _Narrowing:
    def __init__(self, words: str, breadth: Breadth) -> None:
        self._words = words
        self._breadth = breadth

    def of(self, schema: Any, where: str, depth: int) -> dict[str, Any]:
        if schema is False:
            raise Unsatisfiable(f"{where} allows nothing")
        if schema is True or not isinstance(schema, dict):
            return dict(_SCALARS)
        schema = _merged(schema, where)
        if schema.get("not") in ({}, True):
            raise Unsatisfiable(f"{where} allows nothing")
        if "const" in schema:
            return self._const(schema, where)
        if "enum" in schema:
            return self._enum(schema, where)
        for union in ("oneOf", "anyOf"):
            if union in schema:
                return self._union(schema[union], where, depth)
        kinds = schema.get("type", "object" if "properties" in schema else None)
        if isinstance(kinds, list):
            branches = [schema | {"type": kind} for kind in kinds]
            return self._union(branches, where, depth)
        match kinds:
            case "object":
                return self._object(schema, where, depth)
            case "array":
                return self._array(schema, where, depth)
            case "string" | "integer" | "number":
                return self._bounded(schema, where, kinds)
            case "boolean" | "null":
                return {"type": kinds}
            case None:
                return dict(_SCALARS)
        raise Unsatisfiable(f"{where} is of the type {kinds!r}, which JSON does not have")

    def _const(self, schema: Mapping[str, Any], where: str) -> dict[str, Any]:
        value = schema["const"]
        if "enum" in schema and value not in schema["enum"]:
            raise Unsatisfiable(f"{where} must be {value!r}, which is not one of its values")
        return {"const": value}

    def _enum(self, schema: Mapping[str, Any], where: str) -> dict[str, Any]:
        values = schema["enum"]
        if not isinstance(values, list):
            raise Unsatisfiable(f"{where} has no list of values")
        kind = schema.get("type")
        if isinstance(kind, str) and kind in _TYPES:
            values = [value for value in values if _is_of(value, kind)]
        if not values:
            raise Unsatisfiable(f"{where} has an empty list of values")
        return {"enum": _nearest(values, self._words, self._breadth.names)}

    def _union(self, branches: Any, where: str, depth: int) -> dict[str, Any]:
        found: list[dict[str, Any]] = []
        why = ""
        for branch in branches if isinstance(branches, list) else ():
            try:
                one = self.of(branch, where, depth + 1)
            except Unsatisfiable as cannot:
                why = str(cannot)
                continue
            if one not in found:
                found.append(one)
        if not found:
            raise Unsatisfiable(why or f"{where} has no branch")
        return found[0] if len(found) == 1 else {"anyOf": found}

    def _object(self, schema: Mapping[str, Any], where: str, depth: int) -> dict[str, Any]:
        described = schema.get("properties") or {}
        required = [name for name in schema.get("required") or () if isinstance(name, str)]
        for name in required:
            if name not in described and schema.get("additionalProperties") is False:
                raise Unsatisfiable(f"{where} requires {name} and does not allow it")
        if depth >= _DEEPEST and not required:
            return {"type": "object", "properties": {}, "additionalProperties": False}
        names = [name for name in required if name in described]
        room = max(0, self._breadth.properties - len(names))
        names += [name for name in described if name not in names][:room]
        properties = {}
        for name in names:
            try:
                properties[name] = self.of(described[name], f"{where}.{name}", depth + 1)
            except Unsatisfiable:
                if name in required:
                    raise
        for name in required:
            properties.setdefault(name, dict(_SCALARS))
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    def _array(self, schema: Mapping[str, Any], where: str, depth: int) -> dict[str, Any]:
        result = self._bounded(schema, where, "array")
        result["maxItems"] = max(
            min(result.get("maxItems", _MOST_ITEMS), _MOST_ITEMS), result.get("minItems", 0)
        )
        try:
            result["items"] = self.of(schema.get("items", True), f"{where}[]", depth + 1)
        except Unsatisfiable:
            if result.get("minItems"):
                raise
            return {"const": []}
        return result

    def _bounded(self, schema: Mapping[str, Any], where: str, kind: str) -> dict[str, Any]:
        """A type and its bounds."""
        kept = {
            name: schema[name]
            for name in _KEPT
            if isinstance(schema.get(name), (int, float)) and not isinstance(schema[name], bool)
        }
        low = max(kept.get("minimum", float("-inf")), kept.get("exclusiveMinimum", float("-inf")))
        high = min(kept.get("maximum", float("inf")), kept.get("exclusiveMaximum", float("inf")))
        strict = "exclusiveMinimum" in kept or "exclusiveMaximum" in kept
        if low > high or (low == high and strict):
            raise Unsatisfiable(f"{where} must be at least {low:g} and at most {high:g}")
        for least, most in (("minLength", "maxLength"), ("minItems", "maxItems")):
            if kept.get(least, 0) > kept.get(most, float("inf")):
                raise Unsatisfiable(f"{where}: {least} is above {most}")
        if kind == "string":
            kept["maxLength"] = max(
                min(kept.get("maxLength", _MOST_CHARACTERS), _MOST_CHARACTERS),
                kept.get("minLength", 0),
            )
        return {"type": kind, **kept}


def _merged(schema: dict[str, Any], where: str) -> dict[str, Any]:
    """The parts of `allOf` as one schema."""
    parts = schema.get("allOf")
    if not isinstance(parts, list):
        return schema
    result = {name: value for name, value in schema.items() if name != "allOf"}
    for part in parts:
        if part is False:
            raise Unsatisfiable(f"{where} allows nothing")
        if not isinstance(part, dict):
            continue
        for name, value in _merged(part, where).items():
            before = result.get(name)
            if name == "properties" and isinstance(before, dict):
                both = before.keys() & value.keys()
                clash = {one: {"allOf": [before[one], value[one]]} for one in both}
                result[name] = before | value | clash
            elif name == "required" and isinstance(before, list):
                result[name] = list(dict.fromkeys([*before, *value]))
            elif name == "enum" and isinstance(before, list):
                result[name] = [one for one in before if one in value]
            elif name in ("type", "const") and before is not None and before != value:
                both_kinds = {str(before), str(value)} == {"integer", "number"}
                if not both_kinds:
                    raise Unsatisfiable(f"{where} must be both {before!r} and {value!r}")
                result[name] = "integer"
            elif name in ("minimum", "minLength", "minItems") and before is not None:
                result[name] = max(before, value)
            elif name in ("maximum", "maxLength", "maxItems") and before is not None:
                result[name] = min(before, value)
            else:
                result[name] = value
    return result


def _is_of(value: Any, kind: str) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits = {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "null": value is None,
        "number": number,
        "integer": number and value == int(value),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }
    return fits[kind]


def _nearest(values: Sequence[Any], words: str, most: int) -> list[Any]:
    """Of a long list the values that the words speak of, and then the first ones."""
    if len(values) <= most:
        return list(values)
    low = words.lower()
    said = {word for word in _WORDS.findall(low) if len(word) > 1}
    spoken = [v for v in values if isinstance(v, str) and (v.lower() in said or v.lower() in low)]
    spoken.sort(key=lambda value: (value.lower() not in said, -len(value)))
    if len(spoken) < most:
        spoken += _alike(values, said, most - len(spoken))
    kept: list[Any] = []
    for value in [*spoken, *values[:most]]:
        if value not in kept:
            kept.append(value)
    return kept[:most]


def _alike(values: Sequence[Any], said: set[str], limit: int) -> list[Any]:
    """Values that share a part with a word: `us-west` and `us-west-1`."""
    parts = {part for word in said if len(word) > 2 for part in re.split(r"[._-]", word) if part}
    found = []
    for value in values:
        if isinstance(value, str) and parts & set(re.split(r"[._\s-]", value.lower())):
            found.append(value)
            if len(found) >= limit:
                break
    return found
