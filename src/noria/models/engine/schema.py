"""Answers in JSON that come to an end.

A small model asked for JSON easily repeats an array's element, or a string's words, until its
tokens run out, and what is cut is no JSON any more. So what a schema leaves open is given a limit
before it constrains the model. Whatever fits the tighter schema fits the caller's as well.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ANY_OBJECT", "tightened"]

_ITEMS = 8
_CHARACTERS = 240
_DIGITS = 10**9


def tightened(schema: Any) -> Any:
    """The same schema with limits on arrays, strings and integers that have none."""
    if isinstance(schema, list):
        return [tightened(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _part(key, value) for key, value in schema.items()}
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "array" in kinds and "maxItems" not in schema:
        result["maxItems"] = max(_ITEMS, _whole(schema.get("minItems")))
    if "string" in kinds and not schema.keys() & {
        "maxLength",
        "pattern",
        "format",
        "enum",
        "const",
    }:
        result["maxLength"] = max(_CHARACTERS, _whole(schema.get("minLength")))
    bounds = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum", "const"}
    if "integer" in kinds and not schema.keys() & bounds:
        result |= {"minimum": -_DIGITS, "maximum": _DIGITS}
    return result


def _part(key: str, value: Any) -> Any:
    """Values of `enum`, `const`, `default` and `examples` are data, not schemas."""
    if key in ("properties", "$defs", "definitions", "patternProperties"):
        return {k: tightened(v) for k, v in value.items()} if isinstance(value, dict) else value
    if key in ("enum", "const", "default", "examples", "required"):
        return value
    return tightened(value)


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


ANY_OBJECT = r"""
root    ::= "{" gap (pair ("," gap pair){0,7})? "}"
pair    ::= string ":" " "? value
value   ::= scalar | list | object
list    ::= "[" (item ("," " "? item){0,7})? "]"
item    ::= scalar | object
object  ::= "{" gap (leaf ("," gap leaf){0,5})? "}"
leaf    ::= string ":" " "? (scalar | flat)
flat    ::= "[" (scalar ("," " "? scalar){0,7})? "]"
scalar  ::= string | number | "true" | "false" | "null"
string  ::= "\"" ([^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})){0,240} "\""
number  ::= "-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,8})? ([eE] [-+]? [0-9]{1,2})?
gap     ::= (" " | "\n" " "{0,8})?
"""
"""GBNF of a JSON object whose size and depth are limited."""
