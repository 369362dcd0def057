"""Tool calls for a model whose chat template drops `tools` without a word.

The work is split into steps that even a small model gets through, each held to its form by the
library's sampler: first name the tool (or none), then fill in its arguments by its schema. What
is generated in the second step is the arguments and nothing else, so it streams as it comes.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

import orjson

from noria.models.engine.generation import Chunks, Generate, Tally
from noria.models.engine.requests import ChatRequest, Tool
from noria.models.engine.schema import tightened

__all__ = ["call_tools", "conversation"]

_CALLS = 4
"""The most calls in one answer."""
_NONE = "none"


def call_tools(call: ChatRequest, generate: Generate, chunks: Chunks) -> Tally:
    """Answer a request with tools: by calls, or in words where none is needed."""
    tally = Tally()
    for index in range(call.n):
        _Answer(call, generate, chunks, index, tally).give()
        if chunks.stopped:
            break
    return tally


def conversation(call: ChatRequest, instructions: str = "") -> list[dict[str, Any]]:
    """The messages in the roles that every chat template knows, with `instructions` before what
    the client's own system message says.

    A call and its result become one sentence of the user's: a small model that saw itself write
    calls would go on writing them.
    """
    messages = [{"role": "system", "content": instructions}] if instructions else []
    calls: dict[str, str] = {}
    for message in call.messages:
        role, content = message["role"], message["content"]
        for made in message.get("tool_calls", ()):
            function = made["function"]
            calls[str(made.get("id"))] = f"{function.get('name')}({function.get('arguments')})"
        if role in ("tool", "function"):
            made = calls.get(message.get("tool_call_id", ""), "The tool")
            role, content = "user", f"{made} gave: {content}"
        elif not content and message.get("tool_calls"):
            continue
        if messages and messages[-1]["role"] == role != "assistant":
            messages[-1]["content"] += f"\n{content}"
        else:
            messages.append({"role": role, "content": content})
    return messages


class _Answer:
    """One choice of one request."""

    def __init__(
        self, call: ChatRequest, generate: Generate, chunks: Chunks, index: int, tally: Tally
    ) -> None:
        self._call = call
        self._generate = generate
        self._chunks = chunks
        self._index = index
        self._tally = tally
        self._made: list[tuple[str, str]] = []

    def give(self) -> None:
        tool = self._first()
        if tool is None:
            self._in_words()
            return
        self._chunks.delta(self._index, {"role": "assistant", "content": None})
        finish = self._make_call(tool)
        while finish == "stop" and self._may_call_again() and not self._chunks.stopped:
            tool = self._choose(optional=True)
            if tool is None:
                break
            finish = self._make_call(tool)
        self._chunks.delta(self._index, {}, "length" if finish == "length" else "tool_calls")

    def _first(self) -> Tool | None:
        call = self._call
        if call.named:
            return self._tool(call.choice)
        if call.choice == "required":
            return self._choose(optional=False)
        # A result that has just come in is there to be told. A model of this size would call the
        # same tool for ever.
        if call.messages[-1]["role"] in ("tool", "function"):
            return None
        return self._choose(optional=True)

    def _may_call_again(self) -> bool:
        return self._call.parallel and not self._call.named and len(self._made) < _CALLS

    def _choose(self, *, optional: bool) -> Tool | None:
        """Let the model name a tool, or `none` where that is allowed."""
        tools = self._call.tools
        if len(tools) == 1 and not optional:
            return tools[0]
        listed = "\n".join(f"{tool.name}: {tool.description}" for tool in tools)
        made = "".join(f"\nAlready called: {name} with {args}" for name, args in self._made)
        answer = "another tool" if made else "the tool"
        end = ", or with none" if optional else ""
        text = (
            f"You can use these tools:\n{listed}{made}\n"
            f"Reply with the name of {answer} that the user's message needs{end}."
        )
        names = [tool.name for tool in tools] + ([_NONE] if optional else [])
        named: list[str] = []
        grammar = "root ::= " + " | ".join(json.dumps(name) for name in names)
        self._run(
            {"messages": conversation(self._call, text), "grammar": grammar, "temperature": 0},
            named,
        )
        name = "".join(named)
        return self._tool(name) if any(tool.name == name for tool in tools) else None

    def _make_call(self, tool: Tool) -> str:
        """Have the arguments filled in. The first call streams; a later one is held back until it
        is known not to repeat an earlier one. The result is the engine's finish reason."""
        text = (
            f"Call {tool.name}: {tool.description}\n"
            "Reply with its arguments in JSON, taken from the user's message.\n"
            f"Schema: {orjson.dumps(tool.parameters).decode()}"
        )
        body = self._call.body(
            conversation(self._call, text),
            response_format={
                "type": "json_schema",
                "json_schema": {"schema": tightened(_as_object(tool.parameters))},
            },
        )
        for name in ("logprobs", "top_logprobs", "stop", "logit_bias"):
            body.pop(name, None)
        streams = not self._made
        if streams:
            self._announce(tool.name)
        pieces: list[str] = []
        finish = self._run(body, pieces, self._piece if streams else None)
        arguments = _compact("".join(pieces)) if self._made else "".join(pieces)
        if any((tool.name, arguments) == (name, _compact(made)) for name, made in self._made):
            return "repeated"
        if not streams:
            self._announce(tool.name)
            self._piece(arguments)
        self._made.append((tool.name, arguments))
        return finish

    def _announce(self, name: str) -> None:
        made = {
            "index": len(self._made),
            "id": f"call_{secrets.token_hex(12)}",
            "type": "function",
            "function": {"name": name, "arguments": ""},
        }
        self._chunks.delta(self._index, {"tool_calls": [made]})

    def _piece(self, arguments: str) -> bool:
        piece = {"index": len(self._made), "function": {"arguments": arguments}}
        return self._chunks.delta(self._index, {"tool_calls": [piece]})

    def _in_words(self) -> None:
        call = self._call
        body = self._seeded(call.body(conversation(call), **call.shape))

        def relay(chunk: dict[str, Any]) -> bool:
            for choice in chunk["choices"]:
                choice["index"] = self._index
            return self._chunks.relay(chunk)

        self._tally += self._generate(body, relay)

    def _run(self, body: dict[str, Any], pieces: list[str], passed_on: Any = None) -> str:
        """Generate and keep the text; `passed_on` gets each piece too. Gives the finish reason."""
        finish = "stop"

        def take(chunk: dict[str, Any]) -> bool:
            nonlocal finish
            for choice in chunk["choices"]:
                finish = choice.get("finish_reason") or finish
                if text := choice["delta"].get("content"):
                    pieces.append(text)
                    if passed_on and passed_on(text):
                        return True
            return False

        body = self._seeded(body | {"stream": True, "stream_options": {"include_usage": True}})
        self._tally += self._generate(body, take)
        return finish

    def _seeded(self, body: dict[str, Any]) -> dict[str, Any]:
        """Each choice draws its own numbers."""
        if "seed" in body:
            body["seed"] += self._index
        return body

    def _tool(self, name: str) -> Tool:
        return next(tool for tool in self._call.tools if tool.name == name)


def _compact(arguments: str) -> str:
    """The same JSON without its gaps; as it is where it was cut."""
    try:
        return orjson.dumps(orjson.loads(arguments)).decode()
    except orjson.JSONDecodeError:
        return arguments


def _as_object(schema: dict[str, Any]) -> dict[str, Any]:
    """Arguments are an object even where the schema forgets to say so."""
    open_ended = not schema.keys() & {"type", "anyOf", "oneOf", "allOf", "$ref"}
    return {"type": "object", **schema} if open_ended else schema
