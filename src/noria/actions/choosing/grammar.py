"""One grammar for a request: a call of one of the retrieved operations, a refusal, a question.

It is a JSON schema, which the gateway passes on as `response_format` and which the embedded
engine's sampler holds the model to. Its names come from the catalogue and from the live offers, so
that a name which is in neither cannot be said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from noria.actions.choosing.narrowing import WIDE, Breadth, Unsatisfiable, narrowed
from noria.actions.operation import Offer, Operation

__all__ = ["ASK", "REFUSE", "Grammar", "make_grammar", "outputs_for"]

REFUSE = "refuse"
"""What stands in an operation's place where none does what is asked for."""
ASK = "ask"
"""What stands there where a value is missing; the parameter is named."""
_MOST_CALLS = 8
_JOINTS = re.compile(r",|;|\.\s|\b(?:and|then|also|both|each|plus|for)\b", re.IGNORECASE)
_LIVE = ("region", "instance_type", "accelerator")


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a model may answer to one request."""

    operations: tuple[Operation, ...]
    """Those that it may call."""
    schema: dict[str, Any]
    arguments: dict[str, dict[str, Any]]
    """What it may say as arguments, by the operation's id."""
    dropped: dict[str, str]
    """Operations whose schema no value fits, by id, and why."""

    def response_format(self) -> dict[str, Any]:
        """The field of OpenAI's request."""
        return {"type": "json_schema", "json_schema": {"name": "plan", "schema": self.schema}}


def make_grammar(
    operations: Sequence[Operation],
    offers: Sequence[Offer],
    words: str,
    breadth: Breadth = WIDE,
) -> Grammar:
    """The grammar of one request.

    Args:
        operations: those that were retrieved, the best first.
        offers: what can be had now: their names are the only ones for what an operation starts.
        words: the request.
        breadth: how much of each schema is kept.
    """
    allowed: dict[str, dict[str, Any]] = {}
    kept: list[Operation] = []
    dropped: dict[str, str] = {}
    for operation in operations:
        try:
            arguments = narrowed(_live(operation, offers), words, breadth)
        except Unsatisfiable as cannot:
            dropped[operation.id] = str(cannot)
            continue
        _link(arguments, operation, operations)
        kept.append(operation)
        allowed[operation.id] = arguments
    branches = [
        _closed({"operation": {"const": name}, "arguments": arguments})
        for name, arguments in allowed.items()
    ]
    branches.append(_closed({"operation": {"const": REFUSE}}))
    required = {name for one in allowed.values() for name in one.get("required", ())}
    if required:
        branches.append(
            _closed({"operation": {"const": ASK}, "parameter": {"enum": sorted(required)}})
        )
    calls = {
        "type": "array",
        "items": {"oneOf": branches},
        "minItems": 1,
        "maxItems": _most_calls(words),
    }
    return Grammar(tuple(kept), _closed({"calls": calls}), allowed, dropped)


def _most_calls(words: str) -> int:
    """How many calls a request can mean: one, and one more for each word that joins."""
    return min(_MOST_CALLS, 1 + len(_JOINTS.findall(words)))


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _live(operation: Operation, offers: Sequence[Offer]) -> dict[str, Any]:
    """The schema of its parameters with the names of what can be had now."""
    if not operation.starts:
        return operation.parameters
    own = [offer for offer in offers if offer.provider == operation.provider]
    described = dict(operation.parameters.get("properties") or {})
    for what in _LIVE:
        parameter = operation.starts.get(what)
        if parameter in described:
            names = sorted({getattr(offer, what) for offer in own} - {""})
            described[parameter] = {"type": "string", "enum": names}
    return operation.parameters | {"properties": described}


def _link(arguments: dict[str, Any], operation: Operation, others: Sequence[Operation]) -> None:
    """Let parameters take the output of an earlier call where one of that name and type exists."""
    for name, schema in arguments.get("properties", {}).items():
        paths = sorted({path for other in others for path in outputs_for(name, other)})
        if paths and "anyOf" not in schema:
            place = {"type": "integer", "minimum": 0, "maximum": _MOST_CALLS - 2}
            reference = _closed({"$call": place, "path": {"enum": paths}})
            arguments["properties"][name] = {"anyOf": [schema, reference]}


def outputs_for(parameter: str, operation: Operation) -> list[str]:
    """The outputs of an operation that a parameter can take: `vpc_id` takes `vpc_id`, and `id` of
    an operation that makes a `vpc`."""
    found = []
    plain = _plain(parameter)
    made = _plain(operation.name)
    for name, schema in (operation.returns.get("properties") or {}).items():
        output = _plain(name)
        ends = output == "id" and plain.endswith("id") and plain.removesuffix("id") in made
        if (output == plain or ends) and plain and isinstance(schema, dict):
            found.append(name)
    return found


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
