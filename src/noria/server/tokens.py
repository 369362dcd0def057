"""How many tokens a prompt has, for agents that ask before they send it."""

from __future__ import annotations

import orjson

from noria.errors import ApiError
from noria.gateway.core import Gateway, authorise
from noria.gateway.request import read_object
from noria.http.client_connection import Ending, UpstreamFailure
from noria.models import Target
from noria.models.refusal import Refusal
from noria.models.wire import read_json
from noria.server.offers import Asked
from noria.store import Key

__all__ = ["count_tokens"]

_BYTES_PER_TOKEN = 4
_PATHS = {"messages": b"/messages/count_tokens", "gemini": b"/models/%b:countTokens"}


async def count_tokens(gateway: Gateway, key: Key, asked: Asked, raw: bytes) -> bytes:
    """Answer a call that only counts. A provider of the same dialect counts itself, free of charge;
    for any other the tokens are estimated by the bytes of the text.

    Args:
        gateway: the core.
        key: who asks.
        asked: which call.
        raw: the body.

    Raises:
        ApiError: there is no such model, or the provider does not count.
    """
    fields = read_object(raw)
    name = asked.model or fields.get("model")
    if not isinstance(name, str) or not name:
        raise ApiError(400, "invalid_value", "model is missing.", param="model")
    name = gateway.catalogue.full_name(name)
    authorise(key, name)
    wire = asked.endpoint.wire
    with gateway.counting(key, 0):
        if gateway.applications is None or gateway.applications.find(name) is None:
            target = gateway.catalogue.resolve(name).targets[0]
            if target.speaking(wire).wire == wire:
                return await _ask(gateway, target, wire, fields)
    tokens = max(1, len(raw) // _BYTES_PER_TOKEN)
    return orjson.dumps({"totalTokens" if wire == "gemini" else "input_tokens": tokens})


async def _ask(gateway: Gateway, target: Target, wire: str, fields: dict[str, object]) -> bytes:
    """Have the provider count."""
    from noria.gateway.passing import DEFAULT_LINES

    path = _PATHS[wire]
    body = fields | {"model": target.model}
    if wire == "gemini":
        path %= target.model.encode()
        body = fields
    ending = Ending()
    exchange = gateway.upstreams.send(
        target.speaking(wire), b"POST", path, orjson.dumps(body), None, ending.tell,
        extra=DEFAULT_LINES.get(wire, b""),
    )  # fmt: skip
    try:
        await ending.wait()
    except UpstreamFailure as failure:
        raise ApiError(502, failure.code, f"{target.name}: {failure.message}") from None
    finally:
        if not exchange.ended:
            exchange.cancel()
    if exchange.status != 200:
        said = Refusal.of(exchange.body)
        raise ApiError(exchange.status, said.code or "upstream_error", said.message or "refused")
    return read_json(exchange.body)[1]
