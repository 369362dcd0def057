"""OpenAI's wire: what a reply says it used, and a recorded stream made into one reply."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import orjson

from noria.types import Usage

__all__ = ["CARRIAGE_RETURN", "assemble", "events", "join", "usage_of"]

CARRIAGE_RETURN, _LINE_FEED = b"\r\n"
"""As numbers: for a piece of bytes `in` raises and forgets an exception first."""


def usage_of(reply: dict[str, Any]) -> Usage | None:
    """The usage that a reply, or the last chunk of a stream, reports; None where it says nothing.

    Providers differ in whether hidden reasoning is part of `completion_tokens`. Where the total
    is more than prompt and completion together, the rest is such reasoning and counts as output.
    """
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt: Any = usage.get("prompt_tokens")
    completion: Any = usage.get("completion_tokens")
    total: Any = usage.get("total_tokens")
    if not isinstance(prompt, int):
        return None
    proper = type(completion) is type(total) is int and prompt >= 0 <= completion
    if not proper:
        prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        total = _count(usage, "total_tokens")
    hidden = total - prompt - completion
    if hidden < 0:
        hidden = 0
    found = Usage(prompt, completion + hidden, 0, hidden)
    if proper and len(usage) == 3:
        return found  # All that many servers say.
    read = _details(usage, "prompt_tokens_details")
    written = _details(usage, "completion_tokens_details")
    compute = usage.get("compute_ms", 0.0)
    found.cached_tokens = _count(read, "cached_tokens") or _count(usage, "prompt_cache_hit_tokens")
    found.cache_write_tokens = _count(read, "cache_write_tokens")
    found.reasoning_tokens = max(hidden, _count(written, "reasoning_tokens"))
    found.compute_ms = float(compute) if isinstance(compute, int | float) else 0.0
    return found


def _count(table: dict[str, Any], key: str) -> int:
    value = table.get(key)
    return value if isinstance(value, int) and value > 0 else 0


def _details(usage: dict[str, Any], key: str) -> dict[str, Any]:
    value = usage.get(key)
    return value if isinstance(value, dict) else {}


def events(stream: bytes) -> Iterator[bytes]:
    """The data of each whole event of a server-sent stream, `[DONE]` left out.

    An event that the end of the stream cuts in two is left out as well.
    """
    text = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for block in text.split(b"\n\n"):
        if block.startswith(b"data: ") and _LINE_FEED not in block:  # as nearly all are
            data = block[6:]
        else:
            data = b"\n".join(
                line[5:].removeprefix(b" ")
                for line in block.split(b"\n")
                if line.startswith(b"data:")
            )
        if data and data != b"[DONE]":
            yield data


def assemble(sse: bytes) -> bytes:
    """Make the one `chat.completion` that a recorded stream of chunks spells out.

    An error in mid-stream stands under `error`; what cannot be read is left out.

    Raises:
        ValueError: there is not one readable chunk.
    """
    chunks = [chunk for chunk in _parsed(list(events(sse))) if isinstance(chunk, dict)]
    if not chunks:
        raise ValueError("the stream holds no readable chunk")
    return orjson.dumps(join(chunks))


def _parsed(found: list[bytes]) -> list[Any]:
    """Those events that are JSON: read as one list, or one by one where that is none."""
    try:
        together: list[Any] = orjson.loads(b"[%b]" % b",".join(found))
    except orjson.JSONDecodeError:
        together = []
    if len(together) == len(found):
        return together
    each = []
    for data in found:
        with suppress(orjson.JSONDecodeError):
            each.append(orjson.loads(data))
    return each


def join(chunks: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Make one `chat.completion` of its chunks: choices, tool calls, log probabilities,
    refusals, finish reasons and usage."""
    reply: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for key, value in chunk.items():
            if value is None or key == "choices":
                continue
            reply[key] = value
        parts = chunk.get("choices")
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                _add_choice(choices, part)
    if choices or "error" not in reply:
        reply["object"] = "chat.completion"
        reply["choices"] = [choices[index] for index in sorted(choices)]
    return reply


def _add_choice(choices: dict[int, dict[str, Any]], part: dict[str, Any]) -> None:
    index = part.get("index")
    index = index if isinstance(index, int) else 0
    choice = choices.get(index)
    if choice is None:
        choice = choices[index] = {
            "index": index,
            "message": {"role": "assistant", "content": None},
            "logprobs": None,
            "finish_reason": None,
        }
    for key, value in part.items():
        if value is None or key == "index":
            continue
        if key == "delta":
            if isinstance(value, dict):
                _add_delta(choice["message"], value)
        elif key == "logprobs":
            if isinstance(value, dict):
                _add_logprobs(choice, value)
        else:
            choice[key] = value


def _add_logprobs(choice: dict[str, Any], piece: dict[str, Any]) -> None:
    if choice["logprobs"] is None:
        choice["logprobs"] = {}
    for key, entries in piece.items():
        if isinstance(entries, list):
            choice["logprobs"][key] = (choice["logprobs"].get(key) or []) + entries


def _add_delta(message: dict[str, Any], delta: dict[str, Any]) -> None:
    """Join one piece to a message: texts are appended, tool calls are matched by index."""
    for key, value in delta.items():
        if value is None:
            continue
        known = message.get(key)
        if key == "tool_calls" and isinstance(value, list):
            _add_tool_calls(message.setdefault("tool_calls", []), value)
        elif key in ("role", "id", "type", "name"):
            message[key] = value
        elif isinstance(value, str) and isinstance(known, str):
            message[key] = known + value
        elif isinstance(value, dict) and isinstance(known, dict):
            _add_delta(known, value)
        elif isinstance(value, list) and isinstance(known, list):
            known.extend(value)
        else:
            message[key] = value


def _add_tool_calls(calls: list[dict[str, Any]], pieces: list[Any]) -> None:
    """Put each piece where its index says. Indices may leave gaps, so calls stay in the order in
    which they first came, and the index itself is no part of the finished call."""
    for piece in pieces:
        if not isinstance(piece, dict):
            continue
        index = piece.get("index", len(calls))
        while len(calls) <= index < 128:
            calls.append({})
        if 0 <= index < len(calls):
            _add_delta(calls[index], {k: v for k, v in piece.items() if k != "index"})
