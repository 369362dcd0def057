"""Values that are written as Java or JavaScript has them, as BFCL's rows in these languages expect.

A call in Java passes its arguments as text: `50`, `50L`, `1.5f`, `new int[]{1, 2}`. What is no such
literal of the type that was asked for stays text, and is then the name of a variable.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["JAVA", "JAVASCRIPT", "read_java", "read_javascript"]

JAVA: dict[str, type] = {
    "byte": int, "short": int, "integer": int, "long": int, "float": float, "double": float,
    "boolean": bool, "char": str, "String": str, "any": str, "Array": list, "ArrayList": list,
    "Set": set, "HashMap": dict, "Hashtable": dict, "Queue": list, "Stack": list,
}  # fmt: skip
"""The types of BFCL's descriptions in Java, and what their values become."""
JAVASCRIPT: dict[str, type] = {
    "String": str, "integer": int, "float": float, "Bigint": int, "Boolean": bool, "dict": dict,
    "array": list, "any": str,
}  # fmt: skip

_WHOLE = r"-?\d+"
_FLOAT = r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_ARRAY = re.compile(r"new\s+\w+\[\]\s*\{(.*?)\}")
_LIST = re.compile(r"new\s+ArrayList<\w*>\(Arrays\.asList\((.+?)\)\)")
_ADDED = re.compile(r"new\s+ArrayList<\w*>\(\)\s*\{\{\s*(.+?)\s*\}\}", re.DOTALL)
_EMPTY_LIST = re.compile(r"new\s+ArrayList<\w*>\(\)")
_MAP = re.compile(r"new\s+HashMap<.*?>\s*\(\)\s*\{\s*\{?\s*(.*?)\s*\}?\s*\}", re.DOTALL)
_EMPTY_MAP = re.compile(r"new\s+HashMap<.*?>\s*\(\)")
_PUT = re.compile(r"put\(\"(.*?)\",\s*(.*?)\)")


def read_java(text: str, kind: str, item_kind: str | None = None) -> Any:
    """A literal of Java of a type; the text itself where it is none.

    Args:
        text: how the value is written.
        kind: the type, as the description names it.
        item_kind: of a list, that of its items.
    """
    match kind:
        case "byte" | "short" | "integer":
            return _number(text, _WHOLE, int)
        case "long":
            return _number(text, rf"({_WHOLE})[lL]", int)
        case "float":
            return _number(text, rf"({_FLOAT})[fF]", float)
        case "double":
            return _number(text, _FLOAT, float)
        case "boolean":
            return {"true": True, "false": False}.get(text, text)
        case "Array":
            return _java_array(text, item_kind)
        case "ArrayList":
            return _java_list(text, item_kind)
        case "HashMap":
            return _java_map(text)
    return text


def _number(text: str, pattern: str, kind: type) -> Any:
    found = re.fullmatch(pattern, text)
    return kind(found[found.lastindex or 0]) if found else text


def _java_array(text: str, item_kind: str | None) -> Any:
    found = _ARRAY.search(text)
    if not found:
        return text
    return [_java_item(one, item_kind) for one in _parts(found[1])]


def _java_list(text: str, item_kind: str | None) -> Any:
    if found := _LIST.search(text):
        items = [part.strip() for part in found[1].split(",")]
    elif found := _ADDED.search(text):
        items = [part.strip() for part in re.findall(r"add\((.+?)\)", found[1])]
    else:
        return [] if _EMPTY_LIST.search(text) else text
    if item_kind in ("char", "String"):
        return [item[1:-1] for item in items]
    return [_java_item(item, item_kind) for item in items]


def _java_item(text: str, kind: str | None) -> Any:
    return read_java(text, kind) if kind else _java_value(text)


def _java_map(text: str) -> Any:
    if found := _MAP.search(text):
        return {key: _java_value(value.strip()) for key, value in _PUT.findall(found[1])}
    return {} if _EMPTY_MAP.search(text) else text


def _java_value(text: str) -> Any:
    """A literal whose type nobody says."""
    if text in ("true", "false"):
        return text == "true"
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1]
    for pattern, kind in ((rf"({_WHOLE})[lL]", int), (rf"({_FLOAT})[fF]", float)):
        if isinstance(value := _number(text, pattern, kind), kind):
            return value
    return _plain_number(text)


def _plain_number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


_ROWS = re.compile(
    r"\[\s*\[.*?\]\s*(?:,\s*\[.*?\]\s*)*\]|\bnew\s+Array\(\s*\[.*?\]\s*(?:,\s*\[.*?\]\s*)*\)"
)
_ITEMS = re.compile(r"\[(.*?)\]|\bnew\s+Array\((.*?)\)")
_OBJECT = re.compile(r"\{(.*?)\}")
_PAIR = re.compile(r"([^:]+):\s*(.*?)(?:,\s*(?=[^,]+:)|$)")


def read_javascript(text: str, kind: str, item_kind: str | None = None) -> Any:
    """A literal of JavaScript of a type; the text itself where it is none. The arguments are those
    of `read_java`."""
    match kind:
        case "String":
            quoted = len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]
            return text[1:-1] if quoted else text
        case "integer":
            return _number(text, _WHOLE, int)
        case "float":
            return _number(text, r"-?\d+(?:\.\d+)?", float)
        case "Bigint":
            return _number(text, rf"({_WHOLE})n", int)
        case "Boolean":
            return {"true": True, "false": False}.get(text, text)
        case "array":
            return _script_array(text.strip(), item_kind)
        case "dict":
            return _script_object(text.strip())
    return text


def _script_array(text: str, item_kind: str | None) -> Any:
    if found := _ROWS.match(text):
        rows = re.findall(r"\[(.*?)\]", found[0])
        return [[_script_value(one) for one in row.strip().lstrip("[").split(",")] for row in rows]
    found = _ITEMS.match(text)
    if not found:
        return text
    inner = (found[1] if found[1] is not None else found[2] or "").strip()
    items = [item.strip() for item in inner.split(",")] if inner else []
    if item_kind:
        return [read_javascript(item, item_kind) for item in items]
    return [_script_value(item) for item in items]


def _script_object(text: str) -> Any:
    if text == "{}":
        return {}
    found = _OBJECT.match(text)
    if not found:
        return text
    result = {}
    for key, value in _PAIR.findall(found[1]):
        value = value.strip()
        name = key.strip().strip("'\"")
        if value[:1] == "[" and value[-1:] == "]":
            result[name] = _script_array(value, None)
        elif value[:1] == "{" and value[-1:] == "}":
            result[name] = _script_object(value)
        else:
            result[name] = _script_value(value.strip("'\""))
    return result


def _script_value(text: str) -> Any:
    text = text.strip()
    if text in ("true", "false"):
        return text == "true"
    if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]:
        return text[1:-1]
    return _plain_number(text)
