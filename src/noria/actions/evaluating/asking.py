"""One row of an evaluation, answered as production answers: under a grammar, with sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from noria.actions.choosing.answering import read_answer
from noria.actions.choosing.planner import Ask, Planner
from noria.actions.evaluating.call import Call
from noria.actions.operation import Effect, Offer, Operation
from noria.actions.plan import PlanStatus

__all__ = ["Answered", "Shelf", "answer", "operation_of", "said_calls"]

_TYPES = {
    "dict": "object", "float": "number", "double": "number", "tuple": "array", "list": "array",
    "bool": "boolean", "byte": "integer", "short": "integer", "long": "integer",
    "char": "string", "any": "string", "Any": "string", "String": "string", "Bigint": "integer",
    "Array": "array", "ArrayList": "array", "HashMap": "object", "Hashtable": "object",
    "Boolean": "boolean", "Set": "array", "Queue": "array", "Stack": "array",
}  # fmt: skip
"""What BFCL calls types, as JSON schemas call them."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """A catalogue in memory: some operations, and nothing that costs."""

    kept: tuple[Operation, ...]
    found: tuple[Operation, ...] = ()
    """What a search gives, the best first; without it everything."""

    def operations(self) -> Sequence[Operation]:
        """All of them."""
        return self.kept

    def search(self, words: str, k: int) -> Sequence[Operation]:
        """What was found for the row before."""
        return (self.found or self.kept)[:k]

    def offers(self) -> Sequence[Offer]:
        """None: a benchmark has no prices."""
        return ()

    def version(self, catalogue: str) -> str:
        """A benchmark is one version."""
        return ""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of one row."""

    calls: tuple[Call, ...] = ()
    """What would be carried out."""
    said: tuple[Call, ...] = ()
    """What the model said, before each argument had to have a source."""
    status: PlanStatus = PlanStatus.REFUSED
    reason: str = ""
    reply: str = field(default="", repr=False)


async def answer(request: str, shelf: Shelf, ask: Ask) -> Answered:
    """Have a model answer a row.

    Args:
        request: what is asked.
        shelf: the functions of the row.
        ask: asks the model.

    Raises:
        ApiError: the model's call was refused or failed.
    """
    prompt = Planner(shelf, retrieved=len(shelf.kept) or 1).prompt(request)
    if not prompt.grammar.operations:
        return Answered(reason="no function can be called")
    reply = await ask(prompt)
    found = read_answer(reply, request, prompt.grammar, ())
    names = {operation.id: operation.name for operation in shelf.kept}
    calls = tuple(Call(names[one.operation], one.arguments) for one in found.calls)
    return Answered(calls, tuple(said_calls(reply, names)), found.status, found.reason, reply)


def said_calls(reply: str, names: Mapping[str, str]) -> list[Call]:
    """The calls of a reply as they stand there.

    Args:
        reply: what the model said.
        names: of the operations, by id.
    """
    try:
        made = orjson.loads(reply)["calls"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []
    found = []
    for one in made if isinstance(made, list) else ():
        if isinstance(one, dict) and isinstance(one.get("arguments"), dict):
            name = str(one.get("operation"))
            found.append(Call(names.get(name, name), one["arguments"]))
    return found


def operation_of(function: Mapping[str, Any], catalogue: str = "set") -> Operation:
    """A function of a benchmark, or a tool of a request, as an operation."""
    return Operation(
        catalogue,
        str(function["name"]),
        str(function.get("description") or ""),
        _schema(function.get("parameters") or {"type": "object", "properties": {}}),
        Effect.READ,
        "evaluation",
    )


def _schema(described: Any) -> Any:
    if not isinstance(described, dict):
        return described
    result = dict(described)
    kind = described.get("type")
    if isinstance(kind, str):
        result["type"] = _TYPES.get(kind, kind)
    if isinstance(described.get("properties"), dict):
        result["properties"] = {k: _schema(v) for k, v in described["properties"].items()}
    if "items" in described:
        result["items"] = _schema(described["items"])
    return result
