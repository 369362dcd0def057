"""Taking a run back, in reverse, with proof by observation that nothing is left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from noria.actions.operation import Effect, Operation
from noria.actions.plan import Plan
from noria.actions.provider import Key, ProviderError, Resource
from noria.actions.running.calling import end_resource
from noria.actions.running.environment import Environment
from noria.actions.running.journal import Entry, asked_by, in_doubt
from noria.actions.running.observing import observe, watch
from noria.actions.running.references import at_path
from noria.errors import NoriaError

__all__ = ["Undone", "take_back"]

_PATIENCE_S = 600.0
_LOOK_S = 1.0


@dataclass(slots=True)
class Undone:
    """What came of taking a run back."""

    left: list[str] = field(default_factory=list)
    """Resources that still live."""
    not_undone: list[str] = field(default_factory=list)
    """Calls whose effect stands, and why."""


def take_back(environment: Environment, plan: Plan, entries: list[Entry]) -> Undone:
    """Undo every call that was made, or may have been, the last one first.

    What calls have made is found by our tags, so that what was made twice, or by a process that
    died before it could say so, is ended as well.
    """
    undone = Undone()
    called = {entry.call for entry in entries if entry.kind == "call" and entry.call is not None}
    for place in sorted(called, reverse=True):
        operation = environment.operation(plan.calls[place].operation)
        provider = environment.provider(operation.provider)
        if operation.effect is Effect.READ:
            continue
        mine = [entry for entry in entries if entry.call == place]
        if operation.effect is Effect.CREATE and provider.traits.tags:
            since = asked_by(mine, environment.pace.clock())
            found = watch(environment, provider, plan, place, since_ns=since, enough=0, surely=True)
            for resource in reversed(found):
                end_resource(environment, provider, environment.journal(plan.id), place, resource)
        elif not any(entry.kind == "undo_result" for entry in mine):
            _undo_call(environment, plan, place, operation, mine, undone)
    left = _prove(environment, plan)
    for resource in left:  # what came to light late, or outlives what it was a part of
        provider = environment.provider(resource.provider)
        place = int(resource.tags["noria:call"])
        end_resource(environment, provider, environment.journal(plan.id), place, resource)
    if left:
        left = _prove(environment, plan)
    undone.left = [f"{one.provider} {one.id}" for one in left]
    return undone


def _undo_call(
    environment: Environment,
    plan: Plan,
    place: int,
    operation: Operation,
    mine: list[Entry],
    undone: Undone,
) -> None:
    """Undo a call by its paired operation."""
    result = next((entry.content["result"] for entry in mine if entry.kind == "result"), None)
    what = f"call {place + 1} ({operation.id})"
    if operation.undo is None:
        if result is not None or in_doubt(mine):
            undone.not_undone.append(f"{what} cannot be taken back")
        return
    if result is None:
        if in_doubt(mine):
            undone.not_undone.append(f"nobody knows whether {what} was carried out")
        return
    if sum(entry.kind == "call" for entry in mine) > 1 and operation.effect is Effect.CHANGE:
        # Its answer tells what was there before the last attempt, which an earlier one may have
        # changed already.
        undone.not_undone.append(f"{what} was tried more than once; what it changed is uncertain")
        return
    pair = environment.operation(f"{operation.catalogue}.{operation.undo}")
    arguments_made = next(e.content["arguments"] for e in reversed(mine) if e.kind == "call")
    from_where = {"arguments": arguments_made, "result": result}
    try:
        arguments: dict[str, Any] = {
            name: at_path(from_where, path) for name, path in operation.undo_arguments.items()
        }
    except NoriaError as missing:
        undone.not_undone.append(f"{what}: {missing.message}")
        return
    journal = environment.journal(plan.id)
    provider = environment.provider(pair.provider)
    for attempt in range(environment.settings.attempts):
        journal.write("undo_call", place, operation=pair.id, arguments=arguments)
        try:
            answer = provider.apply(pair, arguments, str(Key(plan.id, place)))
        except ProviderError as failed:
            journal.write("undo_failed", place, code=failed.code, message=failed.message)
            if failed.code in ("404", "410", "NotFound"):
                journal.write("undo_result", place, result={})  # it is gone
                return
            if not (failed.again or failed.unknown):
                undone.not_undone.append(f"{what}: {failed.message}")
                return
        else:
            journal.write("undo_result", place, result=answer)
            return
        environment.pause_after(attempt)
    undone.not_undone.append(f"{what}: its undo was refused as often as it was tried")


def _prove(environment: Environment, plan: Plan) -> list[Resource]:
    """Look until nothing of the plan lives, and give what does when patience is at its end."""
    until = environment.pace.clock() + int(_PATIENCE_S * 1_000_000_000)
    journal = environment.journal(plan.id)
    while True:
        left = [
            one
            for provider in environment.providers_of(plan)
            for one in observe(environment, provider, plan)
        ]
        ending = [one for one in left if one.state in ("shutting-down", "stopping", "ending")]
        if not left or not ending or environment.pace.clock() >= until:
            journal.write("proof", left=[f"{one.provider} {one.id}" for one in left])
            return left
        environment.pace.pause(_LOOK_S)
