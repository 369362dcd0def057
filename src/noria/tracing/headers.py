"""Headers by which a request joins a trace of its own key, goes on with a conversation, or both."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from noria.tracing.context import CallContext, Runtime
from noria.tracing.trace import Trace

if TYPE_CHECKING:
    from noria.store import Key

__all__ = ["CONTEXT_HEADERS", "context_from_headers"]

CONTEXT_HEADERS = (b"x-noria-trace", b"x-noria-conversation")
"""With either of these a caller goes on with something; without them a run is new."""
_TRACE = re.compile(rb"[0-9a-f]{32}")
_SPAN = re.compile(rb"[0-9a-f]{16}")


async def context_from_headers(
    runtime: Runtime, key: Key, header: Callable[[bytes], bytes | None]
) -> CallContext | None:
    """Read the context that a request's headers name: a trace of the same key to go on with
    (`x-noria-trace`, `x-noria-parent`), a conversation (`x-noria-conversation`), or both.

    Args:
        runtime: the gateway of this process.
        key: who asks.
        header: gives the value of a header by its name.

    Returns: None where they name nothing, or a trace that is not the key's own.

    Raises:
        ApiError: 503 when the store does not answer.
    """
    joining, talking = map(header, CONTEXT_HEADERS)
    if joining is None and talking is None:
        return None
    found = None
    if joining is not None and _TRACE.fullmatch(joining):
        found = await runtime.labels.join(key, joining.decode())
    conversation = talking.decode("latin-1") if talking else None
    if found is None and conversation is not None:
        trace = Trace(key)
        await runtime.labels.of_conversation(trace, conversation)
        return CallContext(runtime, trace, conversation=conversation)
    if found is None:
        return None
    if conversation is not None:
        await runtime.labels.of_conversation(found, conversation)
    parent = header(b"x-noria-parent")
    above = parent.decode() if parent is not None and _SPAN.fullmatch(parent) else None
    return CallContext(runtime, found, above, conversation=conversation)
