"""What went in and out of a span, made ready to be read: messages, tool calls, errors, JSON."""

from __future__ import annotations

import pprint
import shlex
from dataclasses import dataclass, field
from typing import Any

import orjson

__all__ = ["Block", "ToolCall", "as_curl", "as_python", "pretty", "read"]

_LONGEST = 12_000
"""Characters of one text that a page shows. The whole is behind the link to the raw JSON."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model wants made."""

    name: str
    id: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Block:
    """One message."""

    role: str
    text: str
    note: str | None = None
    """What is worth knowing beside the role: a name, the call that a tool answers."""
    calls: list[ToolCall] = field(default_factory=list)
    cut: int = 0
    """Characters that were left out at the end."""


def read(request: bytes | None, response: bytes | None) -> tuple[list[Block], list[Block]]:
    """The messages that were sent and those that came back. Whatever is not understood is left
    to the raw JSON."""
    asked, answered = _object(request), _object(response)
    sent = [_message(one) for one in _list(asked.get("messages")) if isinstance(one, dict)]
    if not sent and "input" in asked:
        inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        if inputs and not all(isinstance(one, str) for one in inputs):
            inputs = [orjson.dumps(asked["input"]).decode()]
        sent = [_block("input", str(one)) for one in inputs]
    received = []
    for choice in _list(answered.get("choices")):
        if isinstance(choice, dict) and isinstance(choice.get("message"), dict):
            finish = choice.get("finish_reason")
            note = f"finished: {finish}" if finish and finish != "stop" else None
            received.append(_message(choice["message"], note))
    data = _list(answered.get("data"))
    if data and isinstance(data[0], dict) and "embedding" in data[0]:
        vector = data[0]["embedding"]
        size = f" of {len(vector)} dimensions" if isinstance(vector, list) else ""
        plural = "s" if len(data) > 1 else ""
        received.append(_block("output", f"{len(data)} vector{plural}{size}"))
    return sent, received


def pretty(body: bytes | None) -> tuple[str, int]:
    """JSON with indents (other text as it is), and how many characters were left out."""
    if body is None:
        return "", 0
    try:
        text = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        text = body.decode("utf-8", "replace")
    return text[:_LONGEST], max(0, len(text) - _LONGEST)


def as_curl(base: str, kind: str, body: bytes) -> str:
    """A command line that makes the same call."""
    path = "embeddings" if kind == "embedding" else "chat/completions"
    return (
        f"curl {shlex.quote(f'{base}v1/{path}')} \\\n"
        '  -H "Authorization: Bearer $NORIA_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(body.decode('utf-8', 'replace'))}\n"
    )


def as_python(base: str, kind: str, body: bytes) -> str:
    """A program for the `openai` client that makes the same call."""
    call = "embeddings.create" if kind == "embedding" else "chat.completions.create"
    arguments = pprint.pformat(_object(body), width=88, sort_dicts=False)
    return (
        "import os\n\nfrom openai import OpenAI\n\n"
        f'client = OpenAI(base_url={base + "v1"!r}, api_key=os.environ["NORIA_KEY"])\n'
        f"request = {arguments}\n"
        f"print(client.{call}(**request))\n"
    )


def _message(message: dict[str, Any], note: str | None = None) -> Block:
    calls = []
    for call in _list(message.get("tool_calls")):
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            arguments = pretty(str(function.get("arguments") or "").encode())[0]
            calls.append(ToolCall(str(function.get("name")), str(call.get("id", "")), arguments))
    if message.get("tool_call_id"):
        note = f"answers {message['tool_call_id']}"
    elif message.get("name"):
        note = str(message["name"])
    text = _text(message.get("content")) or str(message.get("refusal") or "")
    return _block(str(message.get("role", "assistant")), text, note, calls)


def _block(
    role: str, text: str, note: str | None = None, calls: list[ToolCall] | None = None
) -> Block:
    return Block(role, text[:_LONGEST], note, calls or [], max(0, len(text) - _LONGEST))


def _text(content: object) -> str:
    """A message's content. Parts that are not text are named, not shown."""
    if isinstance(content, str):
        return content
    parts = []
    for part in _list(content):
        if isinstance(part, dict):
            kind = str(part.get("type", "part"))
            parts.append(str(part.get("text", "")) if kind == "text" else f"[{kind}]")
    return "\n".join(parts)


def _object(body: bytes | None) -> dict[str, Any]:
    try:
        value = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
