"""Reading what a client of OpenAI's API sends, and saying what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from noria.errors import ApiError
from noria.models.engine.schema import ANY_OBJECT, tightened

__all__ = ["ChatRequest", "Tool", "bad"]

# Sampling settings that go to the engine as they are: name, lowest and highest value.
_NUMBERS: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "top_k": (0, 1_000_000),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "repeat_penalty": (0, 4),
}
_CALM = {"temperature": 0.2, "top_p": 0.9}
"""Used where the client sets neither: a model of this size wanders off at OpenAI's default of 1."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(slots=True)
class ChatRequest:
    """A chat request that was checked."""

    messages: list[dict[str, Any]]
    sampling: dict[str, Any]
    """What goes to the engine as it is."""
    limit: int
    """The most tokens of one answer."""
    shape: dict[str, Any]
    """What holds the answer to a JSON form; empty for free text."""
    n: int = 1
    candidates: int = 0
    """How many `top_logprobs` the client wants for each token."""
    tools: list[Tool] = field(default_factory=list)
    choice: str = "auto"
    """`auto`, `none`, `required`, or the name of the one tool to call."""
    named: bool = False
    parallel: bool = True

    @classmethod
    def read(cls, request: dict[str, Any]) -> ChatRequest:
        """Check a request.

        Raises:
            ApiError: 400; `param` names the field.
        """
        shape = _shape(request.get("response_format"))
        tools = _tools(request)
        choice, named = _choice(request.get("tool_choice"), tools)
        return cls(
            messages=_messages(request.get("messages")),
            sampling=_sampling(request),
            limit=_limit(request),
            shape=shape,
            n=_integer(request, "n", 1, 16) or 1,
            candidates=_integer(request, "top_logprobs", 0, 20) or 0,
            tools=tools,
            choice=choice,
            named=named,
            parallel=request.get("parallel_tool_calls") is not False,
        )

    def body(self, messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """The request for the engine: these messages, this caller's settings, and `more`."""
        body = {
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": self.limit,
        }
        return body | self.sampling | more


DEFAULT_LIMIT = 1024
"""The most tokens of an answer for which nobody set a limit: small models may not find an end."""


def bad(message: str, param: str | None = None, code: str = "invalid_value") -> ApiError:
    """The error for a request that cannot be answered as it is."""
    return ApiError(400, code, message, param=param)


def _messages(messages: Any) -> list[dict[str, Any]]:
    if not isinstance(messages, list) or not messages:
        raise bad("messages must be a list with at least one message.", "messages")
    return [_message(message, f"messages.[{i}]") for i, message in enumerate(messages)]


def _message(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise bad(f"{where} must be an object.", where)
    role = message.get("role")
    if role not in ("system", "developer", "user", "assistant", "tool", "function"):
        raise bad(f"{where}.role: {role!r} is not a role.", f"{where}.role")
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list) or not all(
        isinstance(call, dict) and isinstance(call.get("function"), dict) for call in calls
    ):
        raise bad(f"{where}.tool_calls must be a list of tool calls.", f"{where}.tool_calls")
    result = {
        "role": "system" if role == "developer" else role,
        "content": _text(message.get("content"), f"{where}.content"),
    }
    if calls:
        result["tool_calls"] = calls
    if role == "tool":
        if not isinstance(message.get("tool_call_id"), str):
            raise bad(f"{where} must say which call it answers.", f"{where}.tool_call_id")
        result["tool_call_id"] = message["tool_call_id"]
    return result


def _text(content: Any, where: str) -> str:
    """The words of a message: a string, or parts of which each is a text."""
    if content is None:
        return ""
    if isinstance(content, str):
        text = content
    elif isinstance(content, list):
        pieces = []
        for i, part in enumerate(content):
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in ("text", "refusal") or not isinstance(part.get(kind), str):
                raise bad(f"{where}.[{i}]: this model reads text only, not {kind}.", where)
            pieces.append(part[kind])
        text = "\n".join(pieces)
    else:
        raise bad(f"{where} must be a text or a list of parts.", where)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise bad(f"{where} holds half of a surrogate pair, which is not a text.", where) from None
    return text


def _sampling(request: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, (low, high) in _NUMBERS.items():
        value = request.get(name)
        if value is None:
            continue
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            raise bad(f"{name} must be a number from {low:g} to {high:g}, not {value!r}.", name)
        result[name] = value
    if not result.keys() & _CALM.keys():
        result |= _CALM
    seed = request.get("seed")
    if seed is not None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise bad("seed must be an integer.", "seed")
        result["seed"] = seed & 0x7FFFFFFF
    result |= _stop(request.get("stop"))
    if request.get("logprobs"):
        result["logprobs"] = True
        # The engine always looks at one candidate; the surplus is taken out of the answer.
        result["top_logprobs"] = max(1, _integer(request, "top_logprobs", 0, 20) or 0)
    elif request.get("top_logprobs"):
        raise bad("top_logprobs needs logprobs to be true.", "top_logprobs")
    bias = request.get("logit_bias")
    if bias:
        if not isinstance(bias, dict) or not all(
            isinstance(v, int | float) and str(k).isdigit() for k, v in bias.items()
        ):
            raise bad("logit_bias must map token ids to numbers.", "logit_bias")
        result["logit_bias"] = bias
    return result


def _stop(stop: Any) -> dict[str, Any]:
    if stop is None:
        return {}
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(s, str) and s for s in stops):
        raise bad("stop must be a text or a list of texts.", "stop")
    return {"stop": stops}


def _limit(request: dict[str, Any]) -> int:
    newer = _integer(request, "max_completion_tokens", 1, 2**31 - 1)
    limit = newer if newer is not None else _integer(request, "max_tokens", 1, 2**31 - 1)
    return DEFAULT_LIMIT if limit is None else limit


def _integer(request: dict[str, Any], name: str, low: int, high: int) -> int | None:
    value = request.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise bad(f"{name} must be a whole number from {low} to {high}, not {value!r}.", name)
    return value


def _shape(form: Any) -> dict[str, Any]:
    if form is None:
        return {}
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"grammar": ANY_OBJECT}
    if kind != "json_schema":
        raise bad("response_format.type must be text, json_object or json_schema.",
                  "response_format")  # fmt: skip
    described = form.get("json_schema")
    schema = described.get("schema") if isinstance(described, dict) else None
    if not isinstance(schema, dict):
        raise bad("response_format.json_schema.schema must be a JSON schema.", "response_format")
    return {
        "response_format": {"type": "json_schema", "json_schema": {"schema": tightened(schema)}}
    }


def _tools(request: dict[str, Any]) -> list[Tool]:
    if request.get("functions"):
        raise bad("functions are no longer supported: send tools.", "functions")
    tools = request.get("tools") or []
    if not isinstance(tools, list):
        raise bad("tools must be a list.", "tools")
    result: list[Tool] = []
    for i, tool in enumerate(tools):
        where = f"tools.[{i}].function"
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not name:
            raise bad(f"{where} must be an object with a name.", where)
        parameters = function.get("parameters") or {"type": "object", "properties": {}}
        if not isinstance(parameters, dict):
            raise bad(f"{where}.parameters must be a JSON schema.", f"{where}.parameters")
        if any(name == other.name for other in result):
            raise bad(f"There are two tools named {name!r}.", where)
        result.append(Tool(name, str(function.get("description") or ""), parameters))
    return result


def _choice(choice: Any, tools: list[Tool]) -> tuple[str, bool]:
    """What may be called, and whether that is the name of one tool."""
    if choice is None:
        return "auto", False
    if choice in ("auto", "none", "required"):
        if choice == "required" and not tools:
            raise bad("tool_choice is required, but there are no tools.", "tool_choice")
        return choice, False
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not any(tool.name == name for tool in tools):
        raise bad(f"tool_choice names {name!r}, which is not among the tools.", "tool_choice")
    return str(name), True
