"""Requests in other dialects than OpenAI's chat: the fields that the door relies on, and the JSON
for a target that speaks the same.

What is not named here passes as it came, whatever it means: fields and betas are open lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import orjson

from noria.errors import ApiError

if TYPE_CHECKING:
    from noria.gateway.request import Request

__all__ = [
    "HOSTED_USE_NANO",
    "MOST_SEARCHES",
    "NATIVE_READERS",
    "count_media",
    "hosted_tool",
    "native_path",
    "native_payload",
    "searches",
]

_MEDIA: Final = re.compile(
    rb'"(?:image|document|input_image|input_file|input_audio|inlineData|inline_data|fileData)"'
)
"""What shows that there may be images or files in a request."""
_IMAGES: Final = ("image", "input_image", "document", "input_file")
_LONGEST_TEXT: Final = 1024
_LEAST_THINKING: Final = 1024
"""The smallest budget of thinking that Anthropic takes."""
_LIMIT: Final = {"messages": "max_tokens", "responses": "max_output_tokens"}
_PRICED: Final = ("web_search",)
MOST_SEARCHES: Final = 8
HOSTED_USE_NANO: Final = 10_000_000
"""What a search of the web costs at OpenAI and at Anthropic: 10 USD for a thousand, in
nano-dollars."""
_HOSTED: Final = re.compile(
    r"^(?:web_search|web_fetch|code_execution|code_interpreter|file_search|image_generation|"
    r"computer_use|mcp|tool_search)"
)


def _invalid(field: str, what: str, value: object) -> ApiError:
    said = "is missing" if value is None else "cannot be used"
    return ApiError(400, "invalid_value", f"{field} {said}: it must be {what}.", param=field)


def _limit(fields: dict[str, Any], name: str) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = fields[name] = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 2**31:
        raise _invalid(name, "a whole number of at least 1", value)
    return value


def _stream(request: Request, fields: dict[str, Any]) -> None:
    stream = fields.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise _invalid("stream", "true or false", stream)
    request.stream = bool(stream)
    request.wants_usage = True


def _read_messages(request: Request, fields: dict[str, Any]) -> None:
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _invalid("messages", "a list of at least one message", messages)
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise _invalid(f"messages[{number}]", "an object with role and content", message)
        if not isinstance(message.get("content"), str | list):
            raise _invalid(
                f"messages[{number}].content", "a text or a list of blocks", message.get("content")
            )
    request.limit = _limit(fields, "max_tokens")
    if request.limit is None:
        raise _invalid("max_tokens", "a whole number of at least 1", None)
    _stream(request, fields)


def _read_responses(request: Request, fields: dict[str, Any]) -> None:
    given = fields.get("input")
    if given is None and fields.get("previous_response_id") is None and not fields.get("prompt"):
        raise _invalid("input", "a text or a list of items", None)
    if given is not None and not isinstance(given, str | list):
        raise _invalid("input", "a text or a list of items", given)
    if fields.get("background"):
        raise ApiError(
            400, "not_offered", "noria does not offer background responses: leave background out.",
            param="background",
        )  # fmt: skip
    request.limit = _limit(fields, "max_output_tokens")
    _stream(request, fields)


def _read_gemini(request: Request, fields: dict[str, Any]) -> None:
    contents = fields.get("contents")
    if not isinstance(contents, list | dict | str) or not contents:
        raise _invalid("contents", "a list of at least one content", contents)
    config = fields.get("generationConfig")
    if config is not None:
        if not isinstance(config, dict):
            raise _invalid("generationConfig", "an object", config)
        request.limit = _limit(config, "maxOutputTokens")
        count = config.get("candidateCount")
        if isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= 8:
            request.choices = count
    _stream(request, fields)


NATIVE_READERS: Final = {
    "messages": _read_messages, "responses": _read_responses, "gemini": _read_gemini,
}  # fmt: skip
"""By dialect, what checks a request and reads what the door relies on."""


def count_media(request: Request) -> None:
    """Count images and files, wherever they stand, and leave their bytes out of the prompt's."""
    if _MEDIA.search(request.raw) is None:
        return
    request.has_parts = True
    for name in ("messages", "input", "contents", "system"):
        for held in _media(request.fields.get(name), 0):
            request.images += 1
            request.prompt_bytes -= held


def _media(value: Any, depth: int) -> Iterator[int]:
    """The bytes of each image or file in a value."""
    if depth > 12:
        return
    if isinstance(value, list):
        for one in value:
            yield from _media(one, depth + 1)
    elif isinstance(value, dict):
        inline = value.get("inlineData") or value.get("inline_data")
        if value.get("type") in _IMAGES or isinstance(inline, dict) or "fileData" in value:
            yield _longest(value, 0)
        else:
            for one in value.values():
                if isinstance(one, list | dict):
                    yield from _media(one, depth + 1)


def _longest(value: Any, depth: int) -> int:
    """The bytes of the texts in a part that are too long to be anything but its data."""
    if isinstance(value, str):
        return len(value) if len(value) > _LONGEST_TEXT else 0
    if depth > 4:
        return 0
    if isinstance(value, dict):
        return sum(_longest(one, depth + 1) for one in value.values())
    return sum(_longest(one, depth + 1) for one in value) if isinstance(value, list) else 0


def searches(request: Request) -> int:
    """How often a call may search the web at its provider, where each use has a price. A caller
    who sets no limit of its own has `MOST_SEARCHES`."""
    uses = 0
    for tool in request.fields.get("tools") or ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind.startswith(_PRICED):
            most = tool.get("max_uses") or request.fields.get("max_tool_calls") or MOST_SEARCHES
            uses += most if isinstance(most, int) and most > 0 else MOST_SEARCHES
    return uses


def hosted_tool(fields: dict[str, Any]) -> tuple[str, str] | None:
    """The first tool that runs at the provider and has no known price by the use: the field that
    asks for it, and its kind."""
    for number, tool in enumerate(fields.get("tools") or ()):
        if not isinstance(tool, dict):
            continue
        kind = tool.get("type")
        if isinstance(kind, str) and _HOSTED.match(kind) and not kind.startswith(_PRICED):
            return f"tools[{number}].type", kind
        for name in ("googleSearch", "google_search", "codeExecution", "urlContext"):
            if name in tool:
                return f"tools[{number}].{name}", name
    return None


def native_payload(
    request: Request, model: str, limit: int | None, wire: str, said: dict[str, Any] | None
) -> bytes:
    """The JSON for a target that speaks another dialect than OpenAI's chat: as it came, with the
    target's own name of the model and the limit that was reserved for.

    Args:
        request: the call.
        model: the model's name there.
        limit: the reply's limit that was reserved for.
        wire: the target's dialect.
        said: the request in it, where that is not the caller's.
    """
    fields = request.fields if said is None else said
    if wire == "gemini":
        sent = {name: value for name, value in fields.items() if name not in ("model", "stream")}
        if limit is not None and limit != request.limit:
            config = fields.get("generationConfig") or {}
            sent["generationConfig"] = config | {"maxOutputTokens": limit}
        return orjson.dumps(sent)
    changed: dict[str, Any] = {}
    if fields.get("model") != model:
        changed["model"] = model
    if limit is not None and limit != request.limit:
        changed[_LIMIT[wire]] = limit
        thinking = fields.get("thinking")
        budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
        if isinstance(budget, int) and budget >= limit:
            # It must leave room for an answer, and be at least so much where there is any.
            lower = limit // 2
            thought = {"type": "enabled", "budget_tokens": lower}
            changed["thinking"] = thought if lower >= _LEAST_THINKING else {"type": "disabled"}
    if said is None and request.searches:
        changed |= _searches_bounded(wire, fields)
    if said is None and not changed:
        return request.raw
    return orjson.dumps(fields | changed)


def _searches_bounded(wire: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with which a provider searches no more often than is paid for."""
    if wire == "responses":
        return {} if fields.get("max_tool_calls") else {"max_tool_calls": MOST_SEARCHES}
    tools = [
        {**tool, "max_uses": MOST_SEARCHES}
        if str(tool.get("type")).startswith(_PRICED) and not tool.get("max_uses")
        else tool
        for tool in fields["tools"]
    ]
    return {"tools": tools} if tools != fields["tools"] else {}


def native_path(wire: str, model: str, stream: bool, query: bytes) -> bytes:
    """Where a call goes at a server of a dialect.

    Args:
        wire: the dialect.
        model: the model's name there.
        stream: whether the answer is to be a stream.
        query: what the caller has said behind `?`.
    """
    if wire == "gemini":
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/models/{model}:{method}".encode()
    return (b"/messages" if wire == "messages" else b"/responses") + query
