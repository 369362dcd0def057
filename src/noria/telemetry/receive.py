"""`POST /v1/traces`: spans of other tools become spans of noria.

They are shown beside noria's own and searched with them, but they are only what a client says:
they are written as records of another kind, which takes no lease, charges no budget, adds to no
roll-up and never stands in the way of a record of noria's own.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from noria.errors import ApiError, StoreUnavailable
from noria.telemetry.attributes import MOST_LISTED
from noria.telemetry.messages import bodies, tells_messages, with_events
from noria.telemetry.otlp import JSON, Reading, failure, media_of, read, read_log, success
from noria.telemetry.spans import Prices, knows_provider, price_finder, record_of
from noria.types import SpanKind

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
_MOST_WAITING = 2_000
"""Spans of which a log tells before they come."""


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
        self._is_provider = knows_provider(config)
        self._most_bytes = min(MOST_BYTES, config.limits.body_bytes)
        self._owners: OrderedDict[str, str] = OrderedDict()
        """Keys of traces that were met lately: whose a trace is never changes."""
        self._said: OrderedDict[tuple[str, str, str], list[tuple[str, dict[str, Any]]]] = (
            OrderedDict()
        )
        """What logs tell of spans that have not come yet, by key, trace and span."""
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
                span.events += self._said.pop((key.id, span.trace_id, span.id), ())
                meta, request, response = record_of(
                    span, key, self._prices, self._is_provider, content=content
                )
                try:
                    self._journal.append(meta, request, response)
                except StoreUnavailable as failed:
                    raise ApiError(
                        503, "journal_unavailable",
                        f"The spans cannot be recorded: {failed.message}",
                        retry_after=5,
                    ) from None  # fmt: skip
        return reading

    def hear(self, key: Key, media: str, coding: str | None, body: bytes) -> None:
        """Put messages that a log tells into their spans. Blocks; to be called in a thread.

        What comes before its span waits in memory, up to a bound. Other records of logs are
        dropped.

        Raises:
            ApiError: 400, 413 or 415 when the request cannot be read; 503 when the store is away.
        """
        said = read_log(media, coding, body, self._most_bytes)
        if not (self._config.recording.content and key.record_content):
            return
        events: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = {}
        for one in said:
            if tells_messages(one.name):
                events.setdefault((one.trace_id, one.span_id), []).append((one.name, one.told))
        if not events:
            return
        with self._mutex:
            try:
                self._take_in()
                for (trace, span), told in events.items():
                    if not self._add(key, trace, span, told):
                        waiting = self._said.setdefault((key.id, trace, span), [])
                        waiting += told[: MOST_LISTED - len(waiting)]
            except StoreUnavailable as away:
                raise ApiError(
                    503, "store_unavailable", f"The log cannot be kept now: {away.message}",
                    retry_after=5,
                ) from None  # fmt: skip
            while len(self._said) > _MOST_WAITING:
                self._said.popitem(last=False)

    def _add(self, key: Key, trace: str, span: str, told: list[tuple[str, dict[str, Any]]]) -> bool:
        from noria.store.traces.told import add_bodies

        request, response = bodies(SpanKind.CHAT, None, with_events({}, told))
        return add_bodies(self._db, key.id, span, trace, request, response)

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
    """The routes of OTLP. The caller's key stands in `request.state.key`."""
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

    async def logs(request: Request) -> Response:
        headers = request.headers
        media = media_of(headers.get("content-type"))
        coding, body = headers.get("content-encoding"), await request.body()
        try:
            await asyncio.to_thread(receiver.hear, request.state.key, media, coding, body)
        except ApiError as refusal:
            answer = {"retry-after": "5"} if refusal.retry_after is not None else {}
            return Response(failure(media, refusal), refusal.status, answer, media_type=media)
        return Response(_nothing(media), media_type=media)

    async def metrics(request: Request) -> Response:
        # Exporters send them to the same address; noria has no use for them.
        media = media_of(request.headers.get("content-type"))
        return Response(_nothing(media), media_type=media)

    return [
        Route("/v1/traces", traces, methods=["POST"]),
        Route("/v1/logs", logs, methods=["POST"]),
        Route("/v1/metrics", metrics, methods=["POST"]),
    ]


def _nothing(media: str) -> bytes:
    """An answer in which nothing is said, as a request that was taken has it."""
    return b"{}" if media == JSON else b""
