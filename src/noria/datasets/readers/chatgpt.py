"""ChatGPT's own export: each conversation is a tree of messages.

Regenerated and edited messages are branches; what the person saw last is the path from
`current_node` to the root. Turns on that path which a reader of the chat never saw (hidden ones,
a tool's input and output, a model's thoughts) and those that are not text are dropped by reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noria.datasets.readers.draft import Draft, Turn

__all__ = ["read"]

_ROLES = {"user", "assistant", "system", "tool"}
_UNSEEN = {"thoughts", "reasoning_recap", "user_editable_context", "model_editable_context"}


def read(value: Mapping[str, Any]) -> Draft:
    """Understand one conversation."""
    mapping: Mapping[str, Any] = value["mapping"]
    turns = []
    for node in _path(mapping, value.get("current_node")):
        message = node.get("message")
        if isinstance(message, dict) and (turn := _turn(message)) is not None:
            turns.append(turn)
    identity = value.get("conversation_id") or value.get("id") or ""
    return Draft(str(identity), turns, value.get("label"))


def _path(mapping: Mapping[str, Any], current: object) -> list[Mapping[str, Any]]:
    """The nodes from the root to the current one; a ring of parents is followed once."""
    if not isinstance(current, str) or current not in mapping:
        current = _newest_leaf(mapping)
    path: list[Mapping[str, Any]] = []
    seen: set[str] = set()
    while isinstance(current, str) and current in mapping and current not in seen:
        seen.add(current)
        node = mapping[current]
        if not isinstance(node, dict):
            break
        path.append(node)
        current = node.get("parent")
    return path[::-1]


def _newest_leaf(mapping: Mapping[str, Any]) -> str | None:
    leaves = [
        name
        for name, node in mapping.items()
        if isinstance(node, dict) and not node.get("children")
    ]

    def created(name: str) -> float:
        message = mapping[name].get("message")
        at = message.get("create_time") if isinstance(message, dict) else None
        return float(at) if isinstance(at, int | float) else 0.0

    return max(leaves, key=created, default=None)


def _turn(message: Mapping[str, Any]) -> Turn | None:
    author = message.get("author")
    author = author if isinstance(author, dict) else {}
    role = str(author.get("role"))
    content = message.get("content")
    content = content if isinstance(content, dict) else {}
    kind = content.get("content_type")
    text, multimodal = _text(content)
    metadata = message.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    if not text and not multimodal and role == "system":
        return None  # the empty root of every export is no turn
    turn = Turn(role, text, html=False)
    if role not in _ROLES:
        turn.dropped = "unknown_role"
    elif metadata.get("is_visually_hidden_from_conversation") or kind in _UNSEEN:
        turn.dropped = "hidden"
    elif role == "tool" or message.get("recipient", "all") != "all" or kind == "code":
        turn.dropped = "tool"
    elif multimodal:
        turn.dropped = "multimodal"
    elif metadata.get("finish_details", {}).get("type") == "max_tokens":
        turn.dropped = "truncated"
    return turn


def _text(content: Mapping[str, Any]) -> tuple[str, bool]:
    parts = content.get("parts")
    if not isinstance(parts, list):
        text = content.get("text")
        return (text if isinstance(text, str) else ""), False
    texts = [part for part in parts if isinstance(part, str)]
    spoken = [
        part["text"]
        for part in parts
        if isinstance(part, dict)
        and part.get("content_type") == "audio_transcription"
        and isinstance(part.get("text"), str)
    ]
    others = sum(
        isinstance(part, dict)
        and not str(part.get("content_type")).startswith("audio_transcription")
        for part in parts
    )
    return "\n".join(texts + spoken).strip(), bool(others) and not spoken
