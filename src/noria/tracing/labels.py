"""High-water marks of traces.

How a label travels:

1. `Trace.mark` is the highest label of what was read in the trace, as far as this process knows.
2. Code that hands out a labelled text first calls `TraceLabels.raise_to`, which writes the mark to
   the store (`store.traces.marks`); only then does the text reach the caller.
3. Before a model is called, `Call` asks `TraceLabels.current`, so that what another process has
   read counts as well, and leaves out every target whose clearance is lower.
4. A conversation that the server keeps stores the mark beside its turns; the next run begins there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from noria.errors import ApiError, StoreUnavailable
from noria.tracing.trace import Trace
from noria.types import Label

if TYPE_CHECKING:
    from noria.store import Database, Key

__all__ = ["TraceLabels"]


class TraceLabels:
    """High-water marks, kept by the store: what one process reads binds all on the trace."""

    def __init__(self, db: Database, take_in: Callable[[], int]) -> None:
        self._db = db
        self._take_in = take_in

    async def join(self, key: Key, trace_id: str) -> Trace | None:
        """The trace with this id, if it is one of the same key.

        Nothing is said of traces of others: to whoever asks they do not exist.

        Raises:
            ApiError: 503 when the store does not answer.
        """
        from noria.store import trace_owner

        owner = await self._ask(trace_owner, self._db, trace_id)
        if owner is None:  # it may have begun just now
            await self._ask(self._take_in)
            owner = await self._ask(trace_owner, self._db, trace_id)
        if owner != key.id:
            return None
        trace = Trace(key, trace_id)
        await self.current(trace)
        return trace

    async def current(self, trace: Trace) -> Label:
        """A trace's mark now.

        Raises:
            ApiError: 503 when the store does not answer; nothing may be sent on a guess.
        """
        from noria.store import mark_of

        label = await self._ask(mark_of, self._db, trace.id)
        trace.mark = max(trace.mark, label)
        return trace.mark

    async def after(self, key: Key, trace_ids: Iterable[str | None]) -> Trace:
        """A new trace that is told what came of others: its mark begins at the highest of theirs.

        Args:
            key: whose the new trace is.
            trace_ids: the others, whoever they belong to; None for what was not recorded.

        Raises:
            ApiError: 503 when the store does not answer.
        """
        from noria.store import marks_of

        trace = Trace(key)
        known = [trace_id for trace_id in trace_ids if trace_id]
        if known:
            marks = await self._ask(marks_of, self._db, known)
            await self.raise_to(trace, max(marks.values(), default=Label.PUBLIC))
        return trace

    async def of_conversation(self, trace: Trace, name: str) -> None:
        """Raise a trace's mark to that of a conversation of its key, which it goes on with.

        Raises:
            ApiError: 503 when the store does not answer.
        """
        from noria.store.traces.conversations import label_of_conversation

        label = await self._ask(label_of_conversation, self._db, trace.key.id, name)
        await self.raise_to(trace, label)

    async def raise_to(self, trace: Trace, label: Label) -> None:
        """Raise a trace's mark, before the text with this label is handed out.

        Raises:
            ApiError: 503 when the store does not answer: then the text must not be handed out.
        """
        from noria.store import raise_mark

        if label > trace.mark:
            await self._ask(raise_mark, self._db, trace.id, label)
            trace.mark = max(trace.mark, label)

    @staticmethod
    async def _ask(question: Any, *arguments: Any) -> Any:
        try:
            return await asyncio.to_thread(question, *arguments)
        except StoreUnavailable as away:
            raise ApiError(
                503, "store_unavailable",
                f"The mark of this trace cannot be kept: {away.message}",
                retry_after=2,
            ) from None  # fmt: skip
