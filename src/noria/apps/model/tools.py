"""Plain functions as tools of a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

import orjson

from noria.apps.declare.function import place_in_file
from noria.apps.run.serialise import as_json, as_text
from noria.apps.run.sync import in_thread
from noria.errors import NoriaError
from noria.tracing import span
from noria.types import SpanKind

__all__ = ["Tools"]

_MOST_DESCRIBED = 1024


class Tools:
    """The tools of one call, by name.

    Args:
        functions: typed functions; the first lines of their docstrings tell the model what they do.

    Raises:
        NoriaError: one cannot be a tool, or two have one name.
    """

    def __init__(self, functions: Sequence[Callable[..., Any]]) -> None:
        self._tools: dict[str, _Tool] = {}
        for function in functions:
            tool = _Tool(function)
            if tool.name in self._tools:
                raise NoriaError(f"tools: there are two tools named {tool.name}.")
            self._tools[tool.name] = tool

    def __bool__(self) -> bool:
        return bool(self._tools)

    def described(self) -> list[dict[str, Any]]:
        """The field of OpenAI's request."""
        return [tool.described() for tool in self._tools.values()]

    async def call(self, made: Mapping[str, Any]) -> dict[str, Any]:
        """Make one of the calls that a model asked for, and give the message with its result.

        What the model did wrong is told to the model; what a tool raises is raised.
        """
        asked = made.get("function") or {}
        name, raw = str(asked.get("name")), asked.get("arguments") or "{}"
        tool = self._tools.get(name)
        if tool is None:
            content = f"There is no tool {name!r}. There is: {', '.join(self._tools)}."
        else:
            content = await tool.call(raw)
        return {"role": "tool", "tool_call_id": made.get("id"), "content": content}


class _Tool:
    def __init__(self, function: Callable[..., Any]) -> None:
        from pydantic import ConfigDict, create_model

        self.name = getattr(function, "__name__", "")
        if not callable(function) or not self.name.isidentifier():
            raise NoriaError(f"tools: {function!r} is not a function with a name.")
        self._function = function
        fields: dict[str, Any] = {}
        try:
            hints = get_type_hints(function, include_extras=True)
            for parameter in inspect.signature(function).parameters.values():
                if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                    raise TypeError(f"*{parameter.name} cannot be described to a model")
                default = ... if parameter.default is parameter.empty else parameter.default
                fields[parameter.name] = (hints.get(parameter.name, Any), default)
            config = ConfigDict(extra="forbid", protected_namespaces=())
            self._arguments = create_model(f"{self.name}_arguments", __config__=config, **fields)
            self._schema = self._arguments.model_json_schema()
        except Exception as unusable:  # noqa: BLE001 - annotations are code
            raise NoriaError(
                f"tools: {self.name} ({place_in_file(function)}) cannot be a tool: {unusable}"
            ) from None
        self._schema.pop("title", None)
        for described in self._schema.get("properties", {}).values():
            described.pop("title", None)

    def described(self) -> dict[str, Any]:
        text = (inspect.getdoc(self._function) or self.name)[:_MOST_DESCRIBED]
        function = {"name": self.name, "description": text, "parameters": self._schema}
        return {"type": "function", "function": function}

    async def call(self, raw: str) -> str:
        from pydantic import ValidationError

        with span(SpanKind.TOOL, self.name) as work:
            try:
                given = orjson.loads(raw)
                work.request = as_json(given)
                read = self._arguments.model_validate(given)
            except (orjson.JSONDecodeError, ValidationError) as wrong:
                work.request = work.request or as_json(raw)
                work.response = as_json({"refused": str(wrong)})
                return f"The arguments cannot be used: {wrong}"
            arguments = {name: getattr(read, name) for name in type(read).model_fields}
            if inspect.iscoroutinefunction(self._function):
                result = await self._function(**arguments)
            else:
                result = await in_thread(self._function, **arguments)
                if inspect.isawaitable(result):
                    result = await result
            work.response = as_json(result)
        return as_text(result)
