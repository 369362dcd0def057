"""ShareGPT's form: `{"id", "conversations": [{"from", "value"}]}`, with HTML or markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noria.datasets.readers.draft import Draft, Turn, text_of

__all__ = ["LISTS", "read", "role_of"]

LISTS = ("conversations", "conversation", "items", "turns")
"""Names under which the turns stand in exports."""
_ROLES = {
    "human": "user", "user": "user", "prompter": "user",
    "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant",
    "assistant": "assistant", "model": "assistant", "ai": "assistant", "claude": "assistant",
    "gpt-3.5": "assistant", "gpt-4": "assistant", "bot": "assistant",
    "system": "system", "developer": "system",
    "tool": "tool", "function": "tool", "observation": "tool", "function_response": "tool",
}  # fmt: skip


def role_of(name: object) -> str:
    """The role that a source's name stands for; the name itself where nobody knows it."""
    return _ROLES.get(str(name).strip().lower(), str(name))


def read(value: Mapping[str, Any]) -> Draft:
    """Understand one conversation."""
    turns = []
    listed = next(value[name] for name in LISTS if isinstance(value.get(name), list))
    for one in listed:
        if not isinstance(one, dict):
            turns.append(Turn("", str(one), dropped="malformed_turn"))
            continue
        role = role_of(one.get("from", one.get("role", one.get("author"))))
        content, problem = text_of(one.get("value", one.get("content", one.get("text"))))
        turns.append(Turn(role, content, dropped=problem))
    fields = {name: value[name] for name in ("owner", "licence", "consent") if value.get(name)}
    system = value.get("system")
    if isinstance(system, str) and system:
        turns.insert(0, Turn("system", system))
    return Draft(str(value.get("id") or ""), turns, value.get("label"), fields)
