"""What a request from outside goes on with: a trace of its own key, a conversation, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from noria.tracing.context import CallContext, Trace

if TYPE_CHECKING:
    from noria.gateway.core import Gateway
    from noria.store import Key

__all__ = ["PLACE_HEADERS", "context_from_headers"]

PLACE_HEADERS = (b"x-noria-trace", b"x-noria-conversation")
"""With either of these a caller goes on with something; without them a run is new."""
_TRACE = re.compile(rb"[0-9a-f]{32}")
_SPAN = re.compile(rb"[0-9a-f]{16}")


async def context_from_headers(
    gateway: Gateway, key: Key, header: Callable[[bytes], bytes | None]
) -> CallContext | None:
    """The place that a request's headers name: a trace of the same key to go on with
    (`x-noria-trace`, `x-noria-parent`), a conversation (`x-noria-conversation`), or both.

    Args:
        gateway: the core of this process.
        key: who asks.
        header: gives the value of a header by its name.

    Returns: None where they name nothing, or a trace that is not the key's own.

    Raises:
        ApiError: 503 when the store does not answer.
    """
    joining, talking = map(header, PLACE_HEADERS)
    if joining is None and talking is None:
        return None
    found = None
    if joining is not None and _TRACE.fullmatch(joining):
        found = await gateway.labels.join(key, joining.decode())
    conversation = talking.decode("latin-1") if talking else None
    if found is None:
        return CallContext(gateway, Trace(key), conversation=conversation) if conversation else None
    parent = header(b"x-noria-parent")
    above = parent.decode() if parent is not None and _SPAN.fullmatch(parent) else None
    return CallContext(gateway, found, above, conversation=conversation)
