"""`POST /v1/traces`: spans of other tools become spans of noria.

They are shown beside noria's own and searched with them, but they are only what a client says:
they are written as records of another kind, which takes no lease, charges no budget, adds to no
roll-up and never stands in the way of a record of noria's own.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from noria.errors import ApiError, StoreUnavailable
from noria.telemetry.otlp import Reading, failure, media_of, read, success
from noria.telemetry.spans import Prices, price_finder, record_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from noria.config import Config
    from noria.store import Database, Journal, Key

__all__ = ["Receiver", "receiving_routes"]

MOST_BYTES = 16 * 1024 * 1024
"""The longest request once it is unpacked."""
_MOST_REMEMBERED = 10_000


class Receiver:
    """Takes spans in for one process.

    Args:
        config: says what is recorded and what models cost.
        db: knows whose a trace is.
        journal: where the spans are written.
        take_in: brings what is pending into the database.
    """

    def __init__(
        self, config: Config, db: Database, journal: Journal, take_in: Callable[[], int]
    ) -> None:
        self._config = config
        self._db = db
        self._journal = journal
        self._take_in = take_in
        self._prices: Prices = price_finder(config)
        self._most_bytes = min(MOST_BYTES, config.limits.body_bytes)
        self._owners: OrderedDict[str, str] = OrderedDict()
        """Keys of traces that were met lately: whose a trace is never changes."""
        self._mutex = threading.Lock()

    def receive(self, key: Key, media: str, coding: str | None, body: bytes) -> Reading:
        """Write the spans of one request into the journal. Blocks; to be called in a thread.

        Raises:
            ApiError: 400, 413 or 415 when the request cannot be read; 503 when it cannot be
                recorded now.
        """
        reading = read(media, coding, body, self._most_bytes)
        content = self._config.recording.content and key.record_content
        with self._mutex:  # so that two requests cannot both begin a trace
            self._leave_out_others(key, reading)
            for span in reading.spans:
                meta, request, response = record_of(span, key, self._prices, content=content)
                try:
                    self._journal.append(meta, request, response)
                except StoreUnavailable as failed:
                    raise ApiError(
                        503, "journal_unavailable",
                        f"The spans cannot be recorded: {failed.message}",
                        retry_after=5,
                    ) from None  # fmt: skip
        return reading

    def _leave_out_others(self, key: Key, reading: Reading) -> None:
        """Leave out spans of traces that belong to another key."""
        traces = {span.trace_id for span in reading.spans}
        unknown = traces - self._owners.keys()
        try:
            found = self._find_owners(unknown)
        except StoreUnavailable as away:
            raise ApiError(
                503, "store_unavailable",
                f"Whose these traces are cannot be known now: {away.message}",
                retry_after=5,
            ) from None  # fmt: skip
        for trace in unknown:
            self._owners[trace] = found.get(trace, key.id)
        for trace in traces:
            self._owners.move_to_end(trace)
        mine = [span for span in reading.spans if self._owners[span.trace_id] == key.id]
        if others := len(reading.spans) - len(mine):
            reading.rejected["in a trace that belongs to another key"] += others
        reading.spans = mine
        while len(self._owners) > _MOST_REMEMBERED:
            self._owners.popitem(last=False)

    def _find_owners(self, traces: set[str]) -> dict[str, str]:
        from noria.store import trace_owners

        found = trace_owners(self._db, traces)
        if traces - found.keys():  # they may have begun just now
            self._take_in()
            found |= trace_owners(self._db, traces - found.keys())
        return found


def receiving_routes(receiver: Receiver) -> list[BaseRoute]:
    """The route of `POST /v1/traces`. The caller's key stands in `request.state.key`."""
    from starlette.responses import Response
    from starlette.routing import Route

    async def traces(request: Request) -> Response:
        headers = request.headers
        media = ""
        try:
            media = media_of(headers.get("content-type"))
            body = await request.body()
            coding = headers.get("content-encoding")
            reading = await asyncio.to_thread(
                receiver.receive, request.state.key, media, coding, body
            )
        except ApiError as refusal:
            if not media:
                raise  # It cannot be told in an encoding that the caller reads.
            answer = dict(refusal.headers())
            return Response(failure(media, refusal), refusal.status, answer, media_type=media)
        return Response(success(media, reading.rejected), media_type=media)

    return [Route("/v1/traces", traces, methods=["POST"])]
