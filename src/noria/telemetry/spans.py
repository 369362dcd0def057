"""A foreign span as a record of noria's journal: what kind of work it was, by which model, with how
many tokens, at what price."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from noria.telemetry import names
from noria.telemetry.attributes import count_of, first, number_of, parsed, words_of
from noria.telemetry.messages import bodies, parameters, with_events
from noria.types import Money, SpanKind, Status, Usage

if TYPE_CHECKING:
    from noria.config import Config
    from noria.models import Price
    from noria.store import Key
    from noria.telemetry.otlp import ForeignSpan

__all__ = ["Prices", "knows_provider", "price_finder", "record_of"]

Prices = Callable[[str], "Price | None"]
"""Gives the price of a `provider:model`, or of a name that noria knows."""

_MOST_BODY = 1024 * 1024
_MOST_ATTRIBUTES = 100
_MOST_TEXT = 1_000
_MOST_NANO = 2**53
_CALLS = (SpanKind.CHAT, SpanKind.EMBEDDING)


def record_of(
    span: ForeignSpan,
    key: Key,
    prices: Prices,
    is_provider: Callable[[str], bool] = "local".__eq__,
    *,
    content: bool,
) -> tuple[dict[str, Any], bytes, bytes]:
    """The record of a span, its request and its response.

    Args:
        span: as it was told.
        key: whose it is.
        prices: finds what a model costs, for spans that do not say what they cost.
        is_provider: tells whether the part of a model's name before a colon is a provider.
        content: whether texts are kept.
    """
    found = with_events(span.attributes, span.events)
    kind = _kind(span)
    asked = parameters(found)
    model = (
        words_of(found, names.REQUEST_MODELS)
        or words_of(asked, ("model",))
        or words_of(found, names.RESPONSE_MODELS)
    )
    target = _target(found, model, is_provider)
    error = _error(span, content)
    meta: dict[str, Any] = {
        "t": "foreign",
        "id": span.id,
        "trace": span.trace_id,
        "parent": span.parent_id,
        "kind": kind,
        "name": _name(span, kind),
        "key": key.id,
        # Clocks of milliseconds are common, and the store keeps one span for an instant.
        "at": span.start_ns + int(span.id, 16) % 1_000,
        "ms": (span.end_ns - span.start_ns) // 1000 / 1000,
        "status": Status.OK if error is None else Status.ERROR,
        "content": content,
    }
    if key.team is not None:
        meta["team"] = key.team
    if key.user is not None:
        meta["user"] = key.user
    if error is not None:
        meta["code"], meta["error"] = error
    if model is not None:
        meta["model"] = model
    if kind in _CALLS:
        figures = _figures(found, _priced_as(found, model, target), prices)
        meta |= figures
        if target is not None:
            meta["target"] = target
        if any(found.get(name) is True for name in names.STREAMS) or asked.get("stream") is True:
            meta["stream"] = True
        seconds = number_of(found, names.FIRST_CHUNKS)
        if seconds is not None and seconds < 1e9:
            told_in_ms = found.get(names.FIRST_CHUNKS[-1]) == seconds
            meta["ttft"] = round(seconds if told_in_ms else seconds * 1000, 3)
    attributes: dict[str, Any] = {"source": "otlp", "otel": _others(span, content)}
    if kind in _CALLS and "cost" not in meta:
        attributes["cost_unknown"] = True
    request = response = b""
    if content:
        request, response = bodies(kind, model, found)
        sizes = {"request": len(request), "response": len(response)}
        if too_long := {name: size for name, size in sizes.items() if size > _MOST_BODY}:
            attributes["left_out_bytes"] = too_long
        request = b"" if "request" in too_long else request
        response = b"" if "response" in too_long else response
    meta["attrs"] = attributes
    return meta, request, response


def knows_provider(config: Config) -> Callable[[str], bool]:
    """Tells whether noria knows a provider by a name."""
    from noria.models.providers import Providers

    providers = Providers(config)
    return lambda name: name == "local" or providers.find(name) is not None


def price_finder(config: Config) -> Prices:
    """Finds prices as the gateway does, and remembers the newest of them."""
    from noria.models.prices import listed_price, overridden_price
    from noria.models.providers import KNOWN, Providers

    providers = Providers(config)

    @functools.lru_cache(2_000)
    def find(name: str) -> Price | None:
        route = config.models.get(name)
        if route is not None:
            name = route.targets[0]
        provider, _, model = name.partition(":")
        providers.find(provider)  # a plugin may know it, and its prices
        override = providers.prices.get(name)
        if override is not None:
            return overridden_price(override)
        known = KNOWN.get(provider)
        if known is None or known.price_list is None or not model:
            return None
        return listed_price(known.price_list, model)[0]

    return find


def _kind(span: ForeignSpan) -> SpanKind:
    operation, told = span.attributes.get(names.OPERATION), span.attributes.get(names.SPAN_KIND)
    kind = names.KIND_OF_OPERATION.get(str(operation)) or names.KIND_OF_SPAN.get(str(told).upper())
    if kind is None and operation is None and told is None:
        kind = _inferred(span)
    if kind is None:
        kind = SpanKind.STEP if span.parent_id else SpanKind.APP
    return kind


def _inferred(span: ForeignSpan) -> SpanKind | None:
    """What kind of work it was, for exporters that do not name the operation as GenAI does."""
    found = span.attributes
    for name in names.VERCEL_OPERATIONS:
        words = str(found.get(name) or "").split()
        if words and words[0].startswith(names.VERCEL):
            return names.KIND_OF_ENDING.get(words[0].rpartition(".")[2])
    for name, kinds in (
        (names.REQUEST_TYPE, names.KIND_OF_REQUEST),
        (names.ENTITY_KIND, names.KIND_OF_ENTITY),
        (names.SPAN_TYPE, names.KIND_OF_TYPE),
    ):
        told = found.get(name)
        if isinstance(told, str) and told not in ("unknown", "UNKNOWN"):
            return kinds.get(told)
    if words_of(found, names.AGENTS):
        return None  # An agent repeats what its calls have used.
    if words_of(found, names.REQUEST_MODELS) is None or not (
        words_of(found, names.PROVIDERS) or names.GEN_AI in span.scope or "llm" in span.scope
    ):
        return None
    return SpanKind.EMBEDDING if "embed" in span.name.lower() else SpanKind.CHAT


def _name(span: ForeignSpan, kind: SpanKind) -> str:
    if kind is SpanKind.TOOL:
        return words_of(span.attributes, names.TOOL_NAMES) or span.name or str(kind)
    return span.name or str(kind)


def _priced_as(found: Mapping[str, Any], model: str | None, target: str | None) -> list[str]:
    """By which names a call can be priced: the model that answered, else the one asked for."""
    named = [name for name in (target, model) if name]
    if target is not None and model is not None and (provider := target.partition(":")[0]):
        named.insert(1, f"{provider}:{model}")
    return named


def _target(
    found: Mapping[str, Any], model: str | None, is_provider: Callable[[str], bool]
) -> str | None:
    """`provider:model` in noria's words, by what the span says of who answered."""
    answered = words_of(found, names.RESPONSE_MODELS) or model
    provider = words_of(found, names.PROVIDERS)
    # Names with a colon may be noria's own, or the tag of a model (`llama3.2:3b`).
    if model is not None and ":" in model and is_provider(model.partition(":")[0]):
        return model
    if answered is None or provider is None:
        return model if model is not None and ":" in model else None
    provider = provider.lower()
    for api in names.PROVIDER_APIS:
        provider = provider.removesuffix(api)
    return f"{names.PROVIDER_NAMES.get(provider, provider)}:{answered}"


def _figures(found: Mapping[str, Any], priced_as: list[str], prices: Prices) -> dict[str, Any]:
    """Tokens and cost of a call. What a span says it cost wins over the table."""
    raw = parsed(first(found, names.USAGES))
    usage_told = raw if isinstance(raw, dict) else {}
    counts = {
        "in": count_of(found, names.INPUTS)
        or count_of(usage_told, ("input_tokens", "prompt_tokens")),
        "out": count_of(found, names.OUTPUTS)
        or count_of(usage_told, ("output_tokens", "completion_tokens")),
        "cached": count_of(found, names.CACHED),
        "reasoning": count_of(found, names.REASONING),
    }
    figures: dict[str, Any] = {name: count for name, count in counts.items() if count is not None}
    reported = number_of(found, names.COSTS_USD)
    if reported is not None:
        figures["cost"] = min(Money.from_usd(Decimal(repr(reported))), _MOST_NANO)
    elif figures and (price := next(filter(None, map(prices, priced_as)), None)):
        usage = Usage(
            input_tokens=counts["in"] or 0,
            output_tokens=counts["out"] or 0,
            cached_tokens=counts["cached"] or 0,
            reasoning_tokens=counts["reasoning"] or 0,
            cache_write_tokens=count_of(found, names.CACHE_WRITES) or 0,
        )
        figures["cost"] = min(price.cost(usage), _MOST_NANO)
    return figures


def _error(span: ForeignSpan, content: bool) -> tuple[str, str] | None:
    """The code and, unless they may hold what a caller wrote, the words of a failure."""
    if not span.failed:
        return None
    raised = next((told for name, told in span.events if name == names.EXCEPTION_EVENT), {})
    code = span.attributes.get(names.ERROR_TYPE) or raised.get(names.EXCEPTION_TYPE) or "error"
    message = span.message or raised.get(names.EXCEPTION_MESSAGE) or ""
    return str(code)[:200], str(message)[:_MOST_TEXT] if content else ""


def _others(span: ForeignSpan, content: bool) -> dict[str, Any]:
    """What else was told, short enough to be shown. Without content only what cannot hold any."""
    others: dict[str, Any] = {
        name: span.resource[name]
        for name in (names.SERVICE_NAME, names.SERVICE_VERSION)
        if name in span.resource
    }
    others["scope"] = span.scope
    for name, value in span.attributes.items():
        if len(others) >= _MOST_ATTRIBUTES:
            break
        if name.startswith(names.CONTENT) or (not content and not _plain(name, value)):
            continue
        others[name[:200]] = _short(value)
    return others


def _plain(name: str, value: object) -> bool:
    """Whether an attribute cannot carry a text of a caller."""
    named = (names.OPERATION, names.SPAN_KIND, *names.PROVIDERS, *names.REQUEST_MODELS)
    return isinstance(value, (bool, int, float)) or name in (*named, *names.RESPONSE_MODELS)


def _short(value: object) -> object:
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
