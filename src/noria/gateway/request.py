"""Reading a request once, and writing it again for the target that is to answer it.

What the door itself relies on is checked here, with the field's name in the refusal; everything
else is the upstream's to judge and passes through unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from noria.errors import ApiError
from noria.gateway.adaptations import Changes
from noria.gateway.native_requests import NATIVE_READERS, count_media, hosted_tool, searches
from noria.gateway.passing import NOTHING
from noria.models import Target
from noria.models.endpoint import Endpoint

__all__ = ["Request", "check_limit", "read_object", "read_request", "refuse_tokens"]

_MOST_CHOICES: Final = 128
_MOST_MESSAGES: Final = 100_000
_UNKNOWN_COST: Final = ("audio", "prediction", "web_search_options")
_COSTLY: Final = frozenset({*_UNKNOWN_COST, "service_tier", "tools"})
"""Fields that can add to what the messages and the reply cost."""


class Request:
    """A request as it was read: the caller's JSON and what the pipeline needs of it."""

    __slots__ = (
        "audios", "choices", "endpoint", "fields", "has_parts", "images", "limit", "model",
        "passing", "prompt_bytes", "raw", "said", "searches", "stream", "unlimited", "wants_usage",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, raw: bytes, fields: dict[str, Any], model: str) -> None:
        self.endpoint = endpoint
        self.raw = raw
        self.fields = fields
        self.model = model
        self.stream = False
        self.wants_usage = False
        """Whether the caller asked for the usage chunk of a stream."""
        self.limit: int | None = None
        """The most tokens that the caller wants for each choice."""
        self.choices = 1
        self.unlimited = False
        """Whether the caller asks for no limit by `max_tokens: -1`, which some servers know."""
        self.has_parts = False
        """Whether a message's content is a list of parts."""
        self.images = 0
        """How many images the messages carry."""
        self.audios = 0
        """How many pieces of sound they carry."""
        self.searches = 0
        """How often it may search the web at its provider, which is paid by the use."""
        self.said: dict[str, tuple[dict[str, Any], list[str]]] = {}
        """What it is in other dialects, by target, and what was left out of it there."""
        self.passing = NOTHING
        """What goes on of its headers to a provider of the same dialect."""
        self.prompt_bytes = len(raw)
        """The bytes of the request without those of its images and its sound, whose tokens do not
        hang on how many bytes they have."""

    def payload(
        self,
        target: Target,
        limit: int | None,
        changes: Changes,
        said: dict[str, Any] | None = None,
    ) -> bytes:
        """The JSON of OpenAI's chat for one target: its own model name, the limit that was reserved
        for, usage asked for in a stream, and the changes that its model wants.

        Args:
            target: who is asked.
            limit: the reply's limit that was reserved for.
            changes: what the model does not take.
            said: the request, where its caller has said it in another dialect.
        """
        given = self.fields if said is None else said
        fields = given.copy()
        fields["model"] = target.model
        if limit is not None and (limit != self.limit or said is not None):
            fields.pop("max_tokens", None)
            fields.pop("max_completion_tokens", None)
            fields[_limit_field(given, target)] = limit
        if self.stream and target.upstream.usage_in_stream:
            options = given.get("stream_options") or {}
            fields["stream_options"] = options | {"include_usage": True}
        if changes:
            for name, instead in changes.items():
                if instead is not None and fields.get(name) is not None:
                    fields.setdefault(instead, fields[name])
                if name != "temperature" or fields.get(name) != 1:
                    fields.pop(name, None)
        return orjson.dumps(fields)

    def hosted_uses(self, target: Target) -> int:
        """How often it may use what a target charges by the use. None of it is said to one of
        another dialect."""
        return 0 if target.name in self.said else self.searches

    def can_ask(self, target: Target) -> bool:
        """Whether it can be said to a target."""
        wire = self.endpoint.wire
        return target.speaking(wire).wire == wire or target.name in self.said

    def changed(self, changes: Changes) -> Changes:
        """Those of the changes that make a difference to what the caller has sent."""
        fields = self.fields
        return {
            name: instead
            for name, instead in changes.items()
            if fields.get(name) is not None and (name != "temperature" or fields[name] != 1)
        }

    def unbounded(self, target: Target) -> tuple[str, str] | None:
        """The field whose cost at a target has no bound, with the reason, where there is one."""
        image_allowance, audio_allowance = target.image_allowance, target.audio_allowance
        said_elsewhere = target.name in self.said
        fields = self.fields
        if not self.has_parts and _COSTLY.isdisjoint(fields):
            return None
        if self.endpoint.wire in NATIVE_READERS:
            return self._native_unbounded(image_allowance, hosted=not said_elsewhere)
        for name in _UNKNOWN_COST:
            if fields.get(name) is not None:
                return name, "what it costs cannot be known before the call"
        if fields.get("service_tier") not in (None, "default", "flex"):
            return "service_tier", "other tiers than default and flex have prices of their own"
        for number, tool in enumerate(fields.get("tools") or ()):
            if isinstance(tool, dict) and tool.get("type", "function") not in (
                "function",
                "custom",
            ):
                return (
                    f"tools[{number}].type",
                    "tools that run at the provider have prices of their own",
                )
        for number, message in enumerate(fields.get("messages") or ()):
            content = message.get("content")
            if not isinstance(content, list):
                continue
            for part in content:
                kind = part.get("type") if isinstance(part, dict) else None
                if kind in ("text", "refusal"):
                    continue
                if kind == "image_url" and image_allowance is not None:
                    continue
                if kind == "input_audio" and audio_allowance is not None:
                    continue
                return (
                    f"messages[{number}].content",
                    f"a part of type {kind} has no bound in tokens",
                )
        return None

    def _native_unbounded(
        self, image_allowance: int | None, *, hosted: bool
    ) -> tuple[str, str] | None:
        """The same in a dialect of its own, where only images, files and hosted tools are looked
        for: those that have no price by the use. A call that is made elsewhere has none of
        them."""
        unpriced = hosted_tool(self.fields) if hosted else None
        if unpriced is not None:
            field, kind = unpriced
            return field, f"{kind} runs at the provider, and its price per use is not known"
        if self.images and image_allowance is None:
            return "images", "an image or a file has no bound in tokens without image_allowance"
        return None

    def count_media(self) -> None:
        """Count the images and the sound of the messages, and their bytes."""
        for message in self.fields["messages"]:
            content = message.get("content")
            for part in content if isinstance(content, list) else ():
                kind = part.get("type") if isinstance(part, dict) else None
                if kind == "image_url":
                    self.images += 1
                    image = part.get("image_url")
                    held = image.get("url") if isinstance(image, dict) else image
                elif kind == "input_audio":
                    self.audios += 1
                    sound = part.get("input_audio")
                    held = sound.get("data") if isinstance(sound, dict) else sound
                else:
                    continue
                if isinstance(held, str):
                    self.prompt_bytes -= len(held)


def _limit_field(fields: dict[str, Any], target: Target) -> str:
    for name in ("max_completion_tokens", "max_tokens"):
        if fields.get(name) is not None:
            return name
    # OpenAI's newer models refuse the old name; many other servers do not know the new one.
    return "max_completion_tokens" if target.provider == "openai" else "max_tokens"


def read_object(raw: bytes, what: str = "The request's body") -> dict[str, Any]:
    """Read a body that is to be a JSON object.

    Raises:
        ApiError: 400 `invalid_json`; `what` is what the message calls the object.
    """
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as malformed:
        raise ApiError(
            400, "invalid_json", f"The request's body is not valid JSON: {malformed}"
        ) from None
    if not isinstance(fields, dict):
        raise ApiError(400, "invalid_json", f"{what} must be a JSON object.")
    return fields


def read_request(endpoint: Endpoint, raw: bytes) -> Request:
    """Read and check a request's JSON.

    Raises:
        ApiError: 400, with the name of the field that cannot be used.
    """
    fields = read_object(raw)
    model = fields.get("model")
    if not isinstance(model, str) or not model or len(model) > 300 or not model.isprintable():
        raise _invalid("model", "the name of a model, such as local:smollm2", model)
    request = Request(endpoint, raw, fields, model)
    if endpoint is Endpoint.COMPLETIONS:
        _read_completion(request, fields)
    elif endpoint.wire in NATIVE_READERS:
        NATIVE_READERS[endpoint.wire](request, fields)
        count_media(request)
        request.searches = searches(request)
    elif endpoint.is_chat:
        _read_chat(request, fields)
    elif endpoint is Endpoint.RERANK:
        _read_rerank(fields)
    elif not _is_embedding_input(fields.get("input")):
        raise _invalid("input", "a text, a list of texts, or tokens", fields.get("input"))
    return request


def _read_completion(request: Request, fields: dict[str, Any]) -> None:
    if not isinstance(fields.get("prompt"), str | list) or not fields["prompt"]:
        raise _invalid("prompt", "a text", fields.get("prompt"))
    _read_options(request, fields)


def _read_rerank(fields: dict[str, Any]) -> None:
    if not isinstance(fields.get("query"), str) or not fields["query"]:
        raise _invalid("query", "a text", fields.get("query"))
    documents = fields.get("documents")
    if not isinstance(documents, list) or not documents:
        raise _invalid("documents", "a list of texts", documents)


def check_limit(request: Request, targets: Sequence[Target]) -> None:
    """Check that `max_tokens: -1` goes to servers that know what it means.

    Raises:
        ApiError: 400 `invalid_value`.
    """
    if all(target.provider in _UNLIMITED for target in targets):
        return
    for name in _LIMITS:
        if request.fields.get(name) == -1:
            raise _invalid(name, _COUNT[2], -1)


def _read_chat(request: Request, fields: dict[str, Any]) -> None:
    messages = fields.get("messages")
    if not isinstance(messages, list) or not 0 < len(messages) <= _MOST_MESSAGES:
        raise _invalid("messages", "a list of at least one message", messages)
    for number, message in enumerate(messages):
        try:
            if type(message["role"]) is type(message["content"]) is str:
                continue  # as nearly all are
        except (TypeError, KeyError):
            pass
        if _has_parts(number, message):
            request.has_parts = True
    _read_options(request, fields)
    if request.has_parts:
        request.count_media()


def _read_options(request: Request, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if name in _OPTIONAL and value is not None:
            types, within, what = _OPTIONAL[name]
            if type(value) is float and float not in types and value.is_integer():
                # Languages that have one kind of number write whole ones like this, too.
                value = fields[name] = int(value)
            if type(value) not in types or (within and not within[0] <= value <= within[1]):
                if name in _LIMITS and type(value) is int and value == -1:
                    continue  # Whether the model's server knows it is seen when it is found.
                raise _invalid(name, what, value)
    request.choices = fields.get("n") or 1
    limit, other = fields.get("max_tokens"), fields.get("max_completion_tokens")
    if limit == -1 or other == -1:
        request.unlimited = True
        limit = None if limit == -1 else limit
        other = None if other == -1 else other
    request.limit = max(limit, other) if limit and other else limit or other
    if fields.get("stream"):
        request.stream = True
        options = fields.get("stream_options")
        request.wants_usage = bool(options and options.get("include_usage"))


def _has_parts(number: int, message: Any) -> bool:
    """Whether the content of a message is a list of parts.

    Raises:
        ApiError: it is no message.
    """
    if not isinstance(message, dict):
        raise _invalid(f"messages[{number}]", "an object with role and content", message)
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str):
        raise _invalid(f"messages[{number}].role", "a text such as user", role)
    if content is not None and not isinstance(content, str | list):
        raise _invalid(f"messages[{number}].content", "a text or a list of parts", "other")
    return isinstance(content, list)


_LIMITS: Final = ("max_tokens", "max_completion_tokens")
_UNLIMITED: Final = ("llamacpp", "lmstudio", "ollama")
"""Servers that take a limit of -1 for none."""
_COUNT: Final = ((int,), (1, 2**31), "a whole number of at least 1")
_OPTIONAL: Final[dict[str, tuple[tuple[type, ...], tuple[int, int] | None, str]]] = {
    "stream": ((bool,), None, "true or false"),
    "stream_options": ((dict,), None, "an object"),
    "n": ((int,), (1, _MOST_CHOICES), f"a whole number, 1 to {_MOST_CHOICES}"),
    "max_tokens": _COUNT,
    "max_completion_tokens": _COUNT,
    "temperature": ((int, float), (0, 2), "a number from 0 to 2"),
    "top_p": ((int, float), (0, 1), "a number from 0 to 1"),
    "tools": ((list,), None, "a list of tools"),
    "response_format": ((dict,), None, "an object with a type"),
    "seed": ((int, bool), None, "a whole number"),
}
"""Fields that are checked: the types that JSON may give them, the range, what they must be."""


def refuse_tokens(request: Request) -> None:
    """Check that an embedded model can do it: none reranks, and what is to be embedded must be
    text. Tokens are the numbers of a vocabulary that the client chose (OpenAI's, as a rule); in
    another model's they mean other words.

    Raises:
        ApiError: 400.
    """
    if request.endpoint is Endpoint.RERANK:
        raise ApiError(
            404, "not_offered", f"noria does not offer reranking by {request.model}: ask a model "
            "of a provider that has it.",
            param="model",
        )  # fmt: skip
    given = request.fields["input"]
    if isinstance(given, list) and not all(isinstance(one, str) for one in given):
        raise ApiError(
            400, "invalid_value",
            f"input holds tokens, which {request.model} would read by its own vocabulary: send "
            "texts. LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False.",
            param="input",
        )  # fmt: skip


def _is_embedding_input(value: object) -> bool:
    if isinstance(value, str):
        return bool(value)
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, (str, int, list)) and not isinstance(item, bool) for item in value)
    )


def _invalid(field: str, what: str, value: object) -> ApiError:
    said = "is missing" if value is None else "cannot be used"
    return ApiError(400, "invalid_value", f"{field} {said}: it must be {what}.", param=field)
