"""What a model answered, as calls: checked against the catalogue, each argument with its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from noria.actions.choosing.assembling import planned_call, started_offer
from noria.actions.choosing.grammar import ASK, REFUSE, Grammar, outputs_for
from noria.actions.choosing.justifying import Justified, justify
from noria.actions.operation import Offer, Operation, Source
from noria.actions.plan import PlannedCall, PlanStatus

__all__ = ["Answer", "read_answer"]


@dataclass(slots=True)
class Answer:
    """What is to be done by a model's answer, or why nothing is."""

    status: PlanStatus
    reason: str = ""
    calls: list[PlannedCall] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Arguments that the model said and that nothing justified."""


def read_answer(reply: str, request: str, grammar: Grammar, offers: Sequence[Offer]) -> Answer:
    """Read a reply.

    A provider may ignore the grammar, so the reply is held against the whole schemas again: a name,
    a value or a machine that is in no catalogue ends in a refusal, never in a call.
    """
    try:
        made = orjson.loads(reply)["calls"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        made = None
    if not isinstance(made, list) or not made:
        return Answer(PlanStatus.REFUSED, "The model did not answer in the form of the grammar.")
    reader = _Reader(request, grammar, offers)
    for one in made:
        reader.add(one)
    return reader.answer()


class _Reader:
    def __init__(self, request: str, grammar: Grammar, offers: Sequence[Offer]) -> None:
        self._by = Justified(request)
        self._operations = {operation.id: operation for operation in grammar.operations}
        self._offers = offers
        self._in_order = bool({"then", "afterwards", "after", "once"} & self._by.stems.keys())
        self._read: list[tuple[Operation, PlannedCall]] = []
        self._refused: list[str] = []
        self._missing: list[str] = []
        self._left_out: list[str] = []

    def answer(self) -> Answer:
        """All calls, if each of them can be made."""
        if self._refused:
            return Answer(PlanStatus.REFUSED, " ".join(self._refused), [], self._left_out)
        if self._missing:
            return Answer(PlanStatus.ASKS, " ".join(self._missing), [], self._left_out)
        calls = [call for _, call in self._read]
        return Answer(PlanStatus.READY, "", calls, self._left_out)

    def add(self, made: Any) -> None:
        """Read one call."""
        name = made.get("operation") if isinstance(made, dict) else None
        if name == REFUSE:
            self._refused.append("No operation of the catalogue does this.")
            return
        if name == ASK:
            self._missing.append(f"What should {made.get('parameter')} be?")
            return
        operation = self._operations.get(name) if isinstance(name, str) else None
        if operation is None:
            self._refused.append(f"The model named {name!r}, which is no operation that was found.")
            return
        given = made.get("arguments")
        arguments: dict[str, Any] = {}
        sources: dict[str, Source] = {}
        after: set[int] = set()
        for parameter, value in (given if isinstance(given, dict) else {}).items():
            source = self._source(operation, parameter, value, after)
            if source is None:
                self._left_out.append(f"{operation.id}: {parameter}={value!r} has no source.")
            else:
                arguments[parameter], sources[parameter] = value, source
        if self._lacks(operation, arguments) or self._misfits(operation, arguments):
            return
        offer = None
        if operation.starts:
            offer = started_offer(operation, arguments, self._offers)
            if offer is None or offer.price_hour_nano is None:
                self._refused.append(f"No priced offer is what {operation.id} would start.")
                return
        if self._in_order and self._read:
            after.add(len(self._read) - 1)
        call = planned_call(operation, arguments, sources, offer, tuple(sorted(after)))
        if all(call.arguments != other.arguments or operation is not before
               for before, other in self._read):  # fmt: skip
            self._read.append((operation, call))

    def _source(
        self, operation: Operation, parameter: str, value: Any, after: set[int]
    ) -> Source | None:
        if isinstance(value, dict) and "$call" in value:
            place, path = value.get("$call"), value.get("path")
            if not isinstance(place, int) or not 0 <= place < len(self._read):
                return None
            earlier = self._read[place][0]
            if path not in outputs_for(parameter, earlier):
                return None
            after.add(place)
            return Source("call", f"{path} of call {place}", earlier.id)
        return justify(operation, parameter, value, self._by)

    def _lacks(self, operation: Operation, arguments: Mapping[str, Any]) -> bool:
        missing = [
            name for name in operation.parameters.get("required") or () if name not in arguments
        ]
        if missing:
            self._missing.append(f"{operation.id} needs {', '.join(missing)}: what should it be?")
        return bool(missing)

    def _misfits(self, operation: Operation, arguments: Mapping[str, Any]) -> bool:
        """Whether the arguments are not of the operation's own schema."""
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError

        plain = {
            name: value
            for name, value in arguments.items()
            if not (isinstance(value, dict) and "$call" in value)
        }
        schema = dict(operation.parameters)
        schema.pop("required", None)
        try:
            wrong = next(Draft202012Validator(schema).iter_errors(plain), None)
        except (SchemaError, RecursionError, ValueError, TypeError) as unusable:
            self._refused.append(f"The schema of {operation.id} cannot be used: {unusable}.")
            return True
        if wrong is not None:
            place = ".".join(map(str, wrong.absolute_path)) or "the arguments"
            self._refused.append(f"{operation.id}: {place}: {wrong.message}.")
        return wrong is not None
