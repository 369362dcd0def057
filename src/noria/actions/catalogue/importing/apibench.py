"""Entries in APIBench's form (JSON lines with `api_call`) as operations."""

from __future__ import annotations

from typing import Any

import orjson

from noria.actions.catalogue.importing.names import Names
from noria.actions.operation import Effect, Operation
from noria.errors import NoriaError

__all__ = ["read_apibench_lines"]


def read_apibench_lines(
    name: str, data: bytes, source: str
) -> tuple[list[Operation], list[tuple[str, str]]]:
    """The entries of a file. What a call loads is fixed, so none takes arguments.

    Returns:
        The operations, and the entries without a call, each with the reason.

    Raises:
        NoriaError: a line is no JSON object.
    """
    found, lost, names = [], [], Names()
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = orjson.loads(line)
        except ValueError as wrong:
            raise NoriaError(f"{source}, line {number} is no JSON: {wrong}.") from None
        if not isinstance(entry, dict):
            raise NoriaError(f"{source}, line {number} is no object.")
        call = entry.get("api_call")
        title = str(entry.get("api_name") or f"line {number}")
        if not isinstance(call, str) or not call.strip():
            lost.append((title, "it has no api_call"))
            continue
        found.append(
            Operation(
                name,
                names.take(title),
                f"{entry.get('functionality') or ''}: {title}".strip(": "),
                {"type": "object", "properties": {}, "additionalProperties": False},
                Effect.READ,
                "python",
                " ".join(
                    filter(None, [_text(entry.get("domain")), _text(entry.get("description"))])
                ),
                binding={"call": call},
            )
        )
    return found, lost


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode() if value else ""
