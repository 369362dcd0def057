"""A foreign span as a record of noria's journal: what kind of work it was, by which model, with how
many tokens, at what price."""

from __future__ import annotations

import functools
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from noria.telemetry import names
from noria.telemetry.attributes import count_of, number_of, words_of
from noria.telemetry.messages import bodies, parameters
from noria.types import Money, SpanKind, Status, Usage

if TYPE_CHECKING:
    from noria.config import Config
    from noria.models import Price
    from noria.store import Key
    from noria.telemetry.otlp import ForeignSpan

__all__ = ["Prices", "price_finder", "record_of"]

_MOST_BODY = 1024 * 1024
_MOST_ATTRIBUTES = 100
_MOST_TEXT = 1_000
_MOST_NANO = 2**53
_CALLS = (SpanKind.CHAT, SpanKind.EMBEDDING)

Prices = Callable[[str], "Price | None"]
"""Gives the price of a `provider:model`, or of a name that noria knows."""


def record_of(
    span: ForeignSpan, key: Key, prices: Prices, *, content: bool
) -> tuple[dict[str, Any], bytes, bytes]:
    """The record of a span, its request and its response.

    Args:
        span: as it was told.
        key: whose it is.
        prices: finds what a model costs, for spans that do not say what they cost.
        content: whether texts are kept.
    """
    found = span.attributes
    kind = _kind(span)
    asked = parameters(found)
    model = (
        words_of(found, names.REQUEST_MODELS)
        or words_of(asked, ("model",))
        or words_of(found, names.RESPONSE_MODELS)
    )
    target = _target(found, model)
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
        meta |= _figures(found, target or model, prices)
        if target is not None:
            meta["target"] = target
        if found.get(names.STREAM) is True or asked.get("stream") is True:
            meta["stream"] = True
        seconds = number_of(found, names.FIRST_CHUNKS)
        if seconds is not None and seconds < 1e9:
            meta["ttft"] = round(seconds * 1000, 3)
    attributes: dict[str, Any] = {"source": "otlp", "otel": _others(span, content)}
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
    if kind is None:
        kind = SpanKind.STEP if span.parent_id else SpanKind.APP
    return kind


def _name(span: ForeignSpan, kind: SpanKind) -> str:
    if kind is SpanKind.TOOL:
        return words_of(span.attributes, names.TOOL_NAMES) or span.name or str(kind)
    return span.name or str(kind)


def _target(found: dict[str, Any], model: str | None) -> str | None:
    """`provider:model` in noria's words, by what the span says of who answered."""
    answered = words_of(found, names.RESPONSE_MODELS) or model
    provider = words_of(found, names.PROVIDERS)
    if answered is None or provider is None or (model is not None and ":" in model):
        return model if model is not None and ":" in model else None
    provider = provider.lower()
    return f"{names.PROVIDER_NAMES.get(provider, provider)}:{answered}"


def _figures(found: dict[str, Any], priced_as: str | None, prices: Prices) -> dict[str, Any]:
    """Tokens and cost of a call. What a span says it cost wins over the table."""
    counts = {
        "in": count_of(found, names.INPUTS),
        "out": count_of(found, names.OUTPUTS),
        "cached": count_of(found, names.CACHED),
        "reasoning": count_of(found, names.REASONING),
    }
    figures: dict[str, Any] = {name: count for name, count in counts.items() if count is not None}
    reported = number_of(found, names.COSTS_USD)
    if reported is not None:
        figures["cost"] = min(Money.from_usd(Decimal(repr(reported))), _MOST_NANO)
    elif figures and priced_as is not None and (price := prices(priced_as)) is not None:
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
