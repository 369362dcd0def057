"""Which operation takes back what another did, as far as the documents say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from noria.actions.catalogue.importing.effects import OPPOSITES, words_of
from noria.actions.operation import Effect, Operation

__all__ = ["paired"]

_IDS = ("id", "name", "uuid", "key", "slug", "number", "arn", "uri")
_UNDOABLE = (Effect.CREATE, Effect.CHANGE)


def paired(operations: Iterable[Operation]) -> list[Operation]:
    """The operations, each with its undo where one is found and all its arguments are known.

    Of HTTP, `POST /x` is taken back by `DELETE /x/{id}`; of all others, and of HTTP where there is
    no such pair, `create_x` by `delete_x` and the like. No pair is taken for verified.
    """
    found = list(operations)
    deletes = {
        _shape(one.binding["path"]): one
        for one in found
        if one.binding.get("method") == "delete" and "path" in one.binding
    }
    by_words = {tuple(words_of(one.name)): one for one in found}
    return [_with_undo(one, deletes, by_words) for one in found]


def _with_undo(
    one: Operation,
    deletes: Mapping[tuple[str, ...], Operation],
    by_words: Mapping[tuple[str, ...], Operation],
) -> Operation:
    if one.effect not in _UNDOABLE or one.undo is not None:
        return one
    candidates: list[Operation] = []
    if one.binding.get("method") == "post":
        below = deletes.get((*_shape(one.binding["path"]), "{}"))
        candidates += [below] if below else []
    words = tuple(words_of(one.name))
    for place in {0, len(words) - 1} if words else ():
        for verb in OPPOSITES.get(words[place], ()):
            other = by_words.get((*words[:place], verb, *words[place + 1 :]))
            candidates += [other] if other else []
    for other in candidates:
        arguments = _arguments(one, other)
        if arguments is not None and other.name != one.name:
            return replace(one, undo=other.name, undo_arguments=arguments)
    return one


def _shape(path: str) -> tuple[str, ...]:
    """A path with its parameters alike: `/x/{id}` and `/x/{name}` are the same."""
    parts = path.strip("/").split("/")
    return tuple("{}" if part.startswith("{") else part for part in parts)


def _arguments(one: Operation, other: Operation) -> dict[str, str] | None:
    """Where the undo's required arguments come from; None where one is not known."""
    made = one.parameters.get("properties", {})
    result = _fields(one.returns)
    found: dict[str, str] = {}
    for name in other.parameters.get("required", ()):
        in_result = _in_result(name, result)
        if in_result is not None and name not in made:
            found[name] = f"result.{in_result}"
        elif name in made:
            found[name] = f"arguments.{name}"
        elif in_result is not None:
            found[name] = f"result.{in_result}"
        else:
            return None
    return found


def _in_result(name: str, result: Mapping[str, Any]) -> str | None:
    """The field of a result that a parameter is, such as `id` for `petId` and `pet_id`."""
    if name in result:
        return name
    words = words_of(name)
    for field in result:
        if words_of(field) == words:
            return field
    if words and words[-1] in _IDS:
        for field in (words[-1], "id"):
            if field in result:
                return field
    return None


def _fields(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}
