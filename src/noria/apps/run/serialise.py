"""What went in and came out of a step, as JSON: exactly, and never an error.

What JSON has no form for is recorded as what it says of itself, `{"repr": ..., "type": ...}`. What
is longer than `MOST_BYTES` is cut, and the record says so: `{"cut": true, "bytes": ...,
"beginning": ...}`. NaN and the infinities have no form in JSON either, and become null.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Set
from typing import Any

import orjson

__all__ = ["MOST_BYTES", "as_json", "as_text"]

MOST_BYTES = 256 * 1024
"""The longest record of what went in, or of what came out."""
_KEPT_BYTES = 64 * 1024
_REPR_CHARACTERS = 400
_OPTIONS = orjson.OPT_NON_STR_KEYS


def as_json(value: Any) -> bytes:
    """A value as it is recorded."""
    try:
        body = orjson.dumps(value, _plain, _OPTIONS)
    except Exception:  # noqa: BLE001 - a value's own code may fail in any way
        body = _otherwise(value)
    if len(body) > MOST_BYTES:
        beginning = body[:_KEPT_BYTES].decode(errors="ignore")
        return orjson.dumps({"cut": True, "bytes": len(body), "beginning": beginning})
    return body


def as_text(value: Any) -> str:
    """A value as an answer in words: a text as it is, everything else as JSON."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value, _plain, _OPTIONS).decode()


def _plain(value: Any) -> Any:
    """What orjson does not know in a form that it knows."""
    dump = getattr(value, "model_dump", None)
    if dump is not None and not isinstance(value, type):
        return dump(mode="json")
    if isinstance(value, (Set, deque, tuple)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    return _told(value)


def _otherwise(value: Any) -> bytes:
    """The parts that can be recorded, where the whole cannot."""
    if isinstance(value, dict):
        parts = [(_name(name), as_json(part)) for name, part in value.items() if part is not value]
        return b"{" + b",".join(_quoted(name) + b":" + part for name, part in parts) + b"}"
    if type(value) is int:
        return json.dumps(value).encode()
    return orjson.dumps(_told(value))


def _name(name: Any) -> str:
    return name if isinstance(name, str) else _told(name)["repr"]


def _quoted(name: str) -> bytes:
    return json.dumps(name).encode()


def _told(value: Any) -> dict[str, str]:
    kind = type(value)
    try:
        told = repr(value)
    except Exception as failure:  # noqa: BLE001
        told = f"<its repr failed with {type(failure).__name__}>"
    if len(told) > _REPR_CHARACTERS:
        told = f"{told[:_REPR_CHARACTERS]}..."
    told = told.encode(errors="replace").decode()
    return {"repr": told, "type": f"{kind.__module__}.{kind.__qualname__}"}
