"""Claude's export: `{"uuid", "chat_messages": [{"sender", "text", "content", ...}]}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noria.datasets.readers.draft import Draft, Turn

__all__ = ["read"]

_SENDERS = {"human": "user", "assistant": "assistant"}


def read(value: Mapping[str, Any]) -> Draft:
    """Understand one conversation."""
    turns = []
    for message in value["chat_messages"]:
        if not isinstance(message, dict):
            turns.append(Turn("", str(message), dropped="malformed_turn"))
            continue
        sender = str(message.get("sender"))
        turn = Turn(_SENDERS.get(sender, sender), _text(message), html=False)
        if message.get("files") and not turn.content:
            turn.dropped = "multimodal"
        turns.append(turn)
    return Draft(str(value.get("uuid") or value.get("id") or ""), turns, value.get("label"))


def _text(message: Mapping[str, Any]) -> str:
    """The blocks of text; where there are none, the text that older exports have alone. What
    was pasted as an attachment is part of what was asked."""
    blocks = message.get("content")
    texts = [
        block["text"]
        for block in (blocks if isinstance(blocks, list) else ())
        if isinstance(block, dict)
        and block.get("type") == "text"
        and isinstance(block.get("text"), str)
    ]
    text = "\n\n".join(part for part in texts if part) or str(message.get("text") or "")
    attached = message.get("attachments")
    for one in attached if isinstance(attached, list) else ():
        if isinstance(one, dict) and isinstance(one.get("extracted_content"), str):
            text += f"\n\n{one['extracted_content']}"
    return text.strip()
