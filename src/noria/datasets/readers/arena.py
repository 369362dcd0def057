"""Preferences: exports of arenas (two conversations and a winner), and chosen with rejected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noria.datasets.readers.chat import turns_of
from noria.datasets.readers.draft import Draft, Turn

__all__ = ["read"]

_SIDES = {"model_a": "a", "a": "a", "model_b": "b", "b": "b"}


def read(value: Mapping[str, Any]) -> Draft:
    """Understand one preference. A battle without a winner teaches nothing about which is better:
    it is a conversation with a fault."""
    identity = str(
        value.get("id") or value.get("question_id") or value.get("conversation_id") or ""
    )
    extra = {
        name: value[name]
        for name in ("judge", "source", "model_a", "model_b", "winner")
        if value.get(name) is not None
    }
    if "chosen" in value:
        return _chosen(value, identity)
    side = _SIDES.get(str(value.get("winner")))
    a, b = turns_of(value["conversation_a"]), turns_of(value["conversation_b"])
    if side is None:
        return Draft(identity, [*a, *b], fault="no_winner")
    shared = _shared(a, b)
    better, worse = (a, b) if side == "a" else (b, a)
    draft = Draft(identity, better[:shared], value.get("label"), {"extra": extra})
    draft.chosen, draft.rejected = better[shared:], worse[shared:]
    return draft


def _chosen(value: Mapping[str, Any], identity: str) -> Draft:
    prompt = value.get("messages", value.get("prompt"))
    given = [Turn("user", prompt)] if isinstance(prompt, str) else turns_of(prompt or [])
    better, worse = turns_of(value["chosen"]), turns_of(value["rejected"])
    if not given:
        shared = _shared(better, worse)
        given, better, worse = better[:shared], better[shared:], worse[shared:]
    fields = {name: value[name] for name in ("owner", "licence", "consent") if value.get(name)}
    known = {"id", "messages", "prompt", "chosen", "rejected", "label", *fields, "source"}
    if isinstance(value.get("source"), str):
        fields["source"] = value["source"]
    fields["extra"] = {name: one for name, one in value.items() if name not in known}
    return Draft(identity, given, value.get("label"), fields, better, worse)


def _shared(a: list[Turn], b: list[Turn]) -> int:
    """How many turns both begin with, up to the last one of a user."""
    same = 0
    for one, other in zip(a, b, strict=False):
        if (one.role, one.content) != (other.role, other.content):
            break
        same += 1
    while same and a[same - 1].role == "assistant":
        same -= 1
    return same
