"""Whether one value is among the accepted ones, by the rules of BFCL's AST checker.

The rules are those of the published checker (Patil et al., "The Berkeley Function Calling
Leaderboard", ICML 2025; package bfcl-eval 2026.3), with their peculiarities, so that a row which
passes here passes there: types are exact but for an integer in place of a float; texts are
compared without case, spaces and ``,./-_*^``; the items of a list have the type that the
description says, or that of the accepted ones; of an object each key has its own accepted values,
and ``""`` among them means that it may be left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["is_accepted", "plain"]

_DROPPED = str.maketrans(dict.fromkeys(" ,./-_*^") | {"'": '"'})


def plain(text: str) -> str:
    """A text as texts are compared: in small letters, without spaces and some punctuation."""
    return text.translate(_DROPPED).lower()


def is_accepted(
    value: Any, accepted: Sequence[Any], kind: type, item_kind: type | None
) -> str | None:
    """Check one argument.

    Args:
        value: what the model said.
        accepted: the answers that are right; `""` among them means optional.
        kind: the type that the description asks for.
        item_kind: of a list, the type of its items.

    Returns:
        None where it is right, else what is wrong.
    """
    fits, named = _type_fits(value, accepted, kind, item_kind)
    if not fits:
        return f"is of the type {type(value).__name__}, not {kind.__name__}"
    if named:
        right = _is_in(value, accepted)
    elif kind is dict:
        right = _is_object(value, accepted)
    elif kind is list and item_kind is dict:
        right = _is_list_of_objects(value, accepted)
    elif kind is str:
        right = plain(value) in [plain(one) for one in accepted if type(one) is str]
    elif kind is list:
        right = _comparable(value) in [_comparable(one) for one in accepted if one != ""]
    else:
        right = _is_in(value, accepted)
    return None if right else f"is {value!r}, which is none of {list(accepted)!r}"


def _is_in(value: Any, accepted: Sequence[Any]) -> bool:
    return any(value == one for one in accepted)


def _type_of(accepted: Sequence[Any]) -> type | None:
    """The type of the accepted values: that of the first which is not the mark of optional."""
    return next((type(one) for one in accepted if one != ""), None)


def _type_fits(
    value: Any, accepted: Sequence[Any], kind: type, item_kind: type | None
) -> tuple[bool, bool]:
    """Whether the type is right, and whether the value stands for a variable of that name: then the
    accepted ones have a type of their own (text, mostly), and are compared as they are."""
    meant = _type_of(accepted)
    if type(value) is kind:
        named = meant is not None and meant is not kind
        fits = item_kind is None or any(_items_fit(value, one, item_kind) for one in accepted)
        return fits, named
    return meant is not None and type(value) is meant, True


def _items_fit(items: Any, accepted: Any, kind: type) -> bool:
    """An accepted value that is no list says nothing about the items of one."""
    if type(accepted) is not list:
        return True
    return all(type(item) is kind or type(item) is _type_of(accepted) for item in items)


def _comparable(items: Any) -> Any:
    if not isinstance(items, (list, tuple)):
        return items
    return [plain(item) if type(item) is str else item for item in items]


def _is_object(value: Any, accepted: Sequence[Any]) -> bool:
    if not isinstance(value, dict):
        return False
    return any(_has_keys(value, one) for one in accepted if isinstance(one, dict))


def _has_keys(value: dict[str, Any], accepted: dict[str, Any]) -> bool:
    for key, said in value.items():
        if key not in accepted:
            return False
        allowed = accepted[key]
        known = [plain(one) if type(one) is str else one for one in allowed]
        if not _is_in(plain(said) if type(said) is str else said, known):
            return False
    return all(key in value or "" in allowed for key, allowed in accepted.items())


def _is_list_of_objects(value: Sequence[Any], accepted: Sequence[Any]) -> bool:
    return any(
        len(value) == len(one)
        and all(_is_object(part, [right]) for part, right in zip(value, one, strict=True))
        for one in accepted
        if isinstance(one, list)
    )
