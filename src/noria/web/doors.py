"""How a function of an application is called: its parameters, and calls to copy for each door."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

if TYPE_CHECKING:
    from noria.apps.serve.manifest import Manifest

__all__ = ["Door", "Parameter", "doors_of", "parameters_of"]

_QUESTION = "What can you tell me?"
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a function, in the words of its JSON schema."""

    name: str
    type: str
    default: str | None
    """As JSON; None where it must be given."""
    about: str


@dataclass(frozen=True, slots=True)
class Door:
    """One way to call a function."""

    name: str
    title: str
    about: str
    text: str
    """What to copy."""


def parameters_of(function: Mapping[str, Any]) -> list[Parameter]:
    """The arguments of a function, in their order."""
    schema = function.get("parameters") or {}
    required = schema.get("required") or ()
    found = []
    for name, one in (schema.get("properties") or {}).items():
        given = None if name in required else orjson.dumps(one.get("default")).decode()
        about = str(one.get("description") or "")
        found.append(Parameter(name, _type(one, schema, 0), given, about))
    return found


def doors_of(app: Manifest, function: Mapping[str, Any], base: str) -> list[Door]:
    """Calls to copy for each door of a function.

    Args:
        app: the application.
        function: one of its functions.
        base: the address of this server, with a slash at its end.
    """
    name = str(function["name"])
    arguments = orjson.dumps(_arguments(function)).decode()
    found = [
        Door(
            "rest", "REST",
            "The arguments as a JSON object; the answer is the body, its run stands in "
            "x-noria-trace.",
            _curl(f"{base}apps/{quote(app.name)}/{quote(name)}", arguments),
        )
    ]  # fmt: skip
    if app.chat is not None and app.chat["name"] == name:
        found += _chat_doors(app.name, base)
    found += [
        Door(
            "mcp", "MCP",
            f"For a client of the Model Context Protocol; the tool is called {app.name}_{name}.",
            orjson.dumps(
                {"mcpServers": {"noria": {
                    "type": "http", "url": f"{base}mcp",
                    "headers": {"Authorization": "Bearer ${NORIA_KEY}"},
                }}},
                option=orjson.OPT_INDENT_2,
            ).decode(),
        ),
        Door(
            "batch", "Batch",
            "A line of in.jsonl holds the arguments as a JSON object.",
            f"echo {shlex.quote(arguments)} > in.jsonl\n"
            f"noria run {shlex.quote(app.file)} {name} --in in.jsonl --out out.jsonl\n",
        ),
    ]  # fmt: skip
    return found


def _chat_doors(model: str, base: str) -> list[Door]:
    asked = {"model": model, "messages": [{"role": "user", "content": _QUESTION}]}
    return [
        Door(
            "chat", "Chat",
            f"As the model {model}, for every client of OpenAI's API.",
            _curl(f"{base}v1/chat/completions", orjson.dumps(asked).decode()),
        ),
        Door(
            "openai", "openai client",
            "Python; other languages have the same client.",
            "import os\n\nfrom openai import OpenAI\n\n"
            f'client = OpenAI(base_url="{base}v1", api_key=os.environ["NORIA_KEY"])\n'
            "stream = client.chat.completions.create(\n"
            f'    model="{model}",\n'
            f'    messages=[{{"role": "user", "content": "{_QUESTION}"}}],\n'
            "    stream=True,\n"
            ")\n"
            "for event in stream:\n"
            '    print(event.choices[0].delta.content or "", end="", flush=True)\n',
        ),
    ]  # fmt: skip


def _curl(url: str, body: str) -> str:
    return (
        f"curl {shlex.quote(url)} \\\n"
        '  -H "Authorization: Bearer $NORIA_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(body)}\n"
    )


def _arguments(function: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments to begin with: those that must be given, or the first one."""
    schema = function.get("parameters") or {}
    properties: dict[str, Any] = schema.get("properties") or {}
    required = [name for name in properties if name in (schema.get("required") or ())]
    given = {name: _example(properties[name], schema, 0) for name in required or [*properties][:1]}
    if "question" in given:
        given["question"] = _QUESTION
    return given


def _example(one: Mapping[str, Any], whole: Mapping[str, Any], depth: int) -> Any:
    one = _looked_up(one, whole)
    if depth > _DEEPEST:
        return None
    for name in ("default", "const"):
        if one.get(name) is not None:
            return one[name]
    if one.get("enum") or one.get("examples"):
        return (one.get("examples") or one["enum"])[0]
    if one.get("anyOf"):
        return _example(one["anyOf"][0], whole, depth + 1)
    match one.get("type"):
        case "string":
            return "text"
        case "integer" | "number":
            return one.get("minimum", 1)
        case "boolean":
            return True
        case "array":
            return [_example(one.get("items") or {}, whole, depth + 1)]
        case "object":
            return {
                name: _example(inner, whole, depth + 1)
                for name, inner in (one.get("properties") or {}).items()
            }
    return None


def _type(one: Mapping[str, Any], whole: Mapping[str, Any], depth: int) -> str:
    """A type in few words: `text`, `list of whole number`."""
    one = _looked_up(one, whole)
    if depth > _DEEPEST:
        return "…"
    if one.get("enum"):
        return "one of " + ", ".join(map(str, one["enum"]))
    if one.get("anyOf"):
        return " or ".join(dict.fromkeys(_type(part, whole, depth + 1) for part in one["anyOf"]))
    match one.get("type"):
        case "array":
            return f"list of {_type(one.get('items') or {}, whole, depth + 1)}"
        case "object":
            return str(one.get("title") or "object")
        case str(name):
            return {"string": "text", "integer": "whole number", "null": "nothing"}.get(name, name)
    return "anything"


def _looked_up(one: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema, or the definition that it refers to."""
    reference = str(one.get("$ref") or "")
    if not reference.startswith("#/$defs/"):
        return one
    found = (whole.get("$defs") or {}).get(reference.removeprefix("#/$defs/"))
    return found if isinstance(found, dict) else {}
