"""Which form a piece has, and the conversations in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from noria.datasets.readers import alpaca, arena, chat, chatgpt, claude, sharegpt
from noria.datasets.readers.draft import Draft
from noria.datasets.readers.pieces import Piece

__all__ = ["FORMS", "conversations_of"]

_Reader = Callable[[Mapping[str, Any]], Draft]

FORMS: dict[str, tuple[_Reader, Callable[[Mapping[str, Any]], bool]]] = {
    "chatgpt": (chatgpt.read, lambda one: isinstance(one.get("mapping"), dict)),
    "claude": (claude.read, lambda one: isinstance(one.get("chat_messages"), list)),
    "arena": (arena.read, lambda one: "conversation_a" in one or "chosen" in one),
    "chat": (chat.read, lambda one: isinstance(one.get("messages"), list)),
    "sharegpt": (
        sharegpt.read,
        lambda one: any(isinstance(one.get(name), list) for name in sharegpt.LISTS),
    ),
    "alpaca": (alpaca.read, lambda one: "instruction" in one),
}
"""Every form by name, with how to tell it."""


def conversations_of(piece: Piece, form: str | None = None) -> Iterator[Draft]:
    """The conversations of a piece; where it cannot be understood, one with a fault.

    Args:
        piece: one JSON value.
        form: a name of `FORMS`; left out, the value itself shows it.
    """
    if piece.fault:
        yield Draft("", [], fault=piece.fault)
        return
    value = _decoded(piece.data)
    if not isinstance(value, dict):
        yield Draft("", [], fault="not_json" if value is _UNREADABLE else "not_an_object")
        return
    nested = value.get("conversations")
    if form is None and isinstance(nested, list) and nested and _is_conversation(nested[0]):
        # Claude's and other exports may stand in one object with a list of all conversations.
        for one in nested:
            yield (
                _read(one, None) if isinstance(one, dict) else Draft("", [], fault="not_an_object")
            )
        return
    yield _read(value, form)


def _is_conversation(value: object) -> bool:
    return isinstance(value, dict) and any(
        is_form(value) for name, (_, is_form) in FORMS.items() if name != "alpaca"
    )


def _read(value: Mapping[str, Any], form: str | None) -> Draft:
    chosen = form or next((name for name, (_, fits) in FORMS.items() if fits(value)), None)
    if chosen is None:
        return Draft("", [], fault="unknown_form")
    try:
        return FORMS[chosen][0](value)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError):
        return Draft(str(value.get("id") or ""), [], fault="malformed")


_UNREADABLE = object()


def _decoded(data: bytes) -> object:
    """A JSON value. Where the bytes are not UTF-8 they are taken for windows-1252, and half of a
    surrogate pair is replaced, as browsers do."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    try:
        value = json.loads(text, strict=False)
        written = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        return orjson.loads(written)
    except (ValueError, RecursionError):
        return _UNREADABLE
