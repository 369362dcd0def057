"""What is written into the journal of a call: its beginning, each further attempt, its end."""

from __future__ import annotations

import time
from typing import Any

from noria.errors import ApiError, StoreUnavailable
from noria.gateway.adaptations import Changes
from noria.gateway.request import Request
from noria.gateway.reservation import Hold
from noria.gateway.stream import StreamRelay
from noria.http.sink import Headers
from noria.ids import new_span_id, new_trace_id
from noria.models import Target
from noria.models.endpoint import Endpoint
from noria.store import Journal, Key
from noria.store.journal.format import frame
from noria.tracing import CallContext
from noria.types import Status, Usage

__all__ = ["CallRecord"]


class CallRecord:
    """One call as the journal sees it. Every method makes or writes at most one record.

    Args:
        journal: where its records go.
        endpoint: which call.
        key: who pays.
        raw: the request's JSON.
        content: whether messages and replies are kept.
        context: the run that the call is a part of; None for one that stands alone.
    """

    def __init__(
        self,
        journal: Journal,
        endpoint: Endpoint,
        key: Key,
        raw: bytes,
        content: bool,
        context: CallContext | None,
    ) -> None:
        self.journal = journal
        self.endpoint = endpoint
        self.key = key
        self.raw = raw
        self.content = content
        self.context = context
        self.span_id = new_span_id()
        self.trace_id = new_trace_id(self.span_id) if context is None else context.trace.id
        self.started_ns = time.monotonic_ns()
        self.at_ns = time.time_ns()
        self.request: Request | None = None
        self.attempts = 0
        self.adapted: Changes = {}
        """Fields that the model does not take, and what was sent in their stead."""
        self.wire = "chat"
        """What the target speaks that is asked."""
        self.attributes: dict[str, Any] = {}
        """What else is to be said of the call when it ends."""
        self.quota_headers: Headers | None = None
        """What the key's limits leave it, as its answer says; None where it has none."""
        self.counted_as: str | None = None
        """The model's name in sums, should it come to nothing; None for the one asked for."""

    def hold(self, target: Target, hold: Hold) -> tuple[int, bytes]:
        """The hold of one attempt, to be written before its first byte goes upstream.

        Returns: the attempt's number, from 0, and the record.
        """
        number = self.attempts
        self.attempts = number + 1
        meta: dict[str, Any] = (
            {"t": "attempt", "id": self.span_id} if number else self._identity("hold")
        )
        meta["n"] = number
        meta["target"] = target.name
        meta["hold"] = hold.amount
        meta["leases"] = [account.lease_id for account in hold.accounts]
        return number, frame(meta, () if number else (self.raw if self.content else b"",))

    def translated(self, wire: str, into: str, notes: list[str]) -> None:
        """It is said to its target in another dialect than its caller's."""
        self.attributes["translated"] = f"{wire} to {into}"
        if notes:
            self.attributes["left_out"] = list(dict.fromkeys(notes))

    def more(self, number: int, amount: int) -> bytes:
        """An attempt's hold has grown by an amount."""
        return frame({"t": "more", "id": self.span_id, "n": number, "hold": amount}, ())

    def settle(
        self,
        number: int,
        cost: int,
        code: str,
        error: str,
        usage: Usage | None,
        uncertain: bool = False,
    ) -> None:
        """Close one attempt that failed; the call goes on."""
        meta: dict[str, Any] = {
            "t": "settle", "id": self.span_id, "n": number, "cost": cost,
            "code": code, "error": error,
        }  # fmt: skip
        if usage is not None:
            meta |= {"in": usage.input_tokens, "out": usage.output_tokens}
        if uncertain:
            meta["uncertain"] = True
        self.journal.append(meta)

    def end(
        self,
        number: int | None,
        status: Status,
        target: Target | None = None,
        usage: Usage | None = None,
        cost: int = 0,
        answer: bytes = b"",
        relay: StreamRelay | None = None,
        *,
        error: ApiError | None = None,
        overrun: bool = False,
        estimated: bool = False,
        uncertain: bool = False,
    ) -> bytes:
        """The end of the call, to be written before the last byte goes down."""
        meta: dict[str, Any] = {
            "t": "end",
            "id": self.span_id,
            "n": number,
            "status": status,
            "ms": self.elapsed_ms(),
            "cost": cost,
        }
        if target is not None:
            meta["target"] = target.name
        if usage is not None:
            meta["in"] = usage.input_tokens
            meta["out"] = usage.output_tokens
            if usage.cached_tokens:
                meta["cached"] = usage.cached_tokens
            if usage.cache_write_tokens:
                meta["attrs"] = {"cache_write_tokens": usage.cache_write_tokens}
            if usage.searches:
                meta["attrs"] = meta.get("attrs", {}) | {"searches": usage.searches}
            if usage.reasoning_tokens:
                meta["reasoning"] = usage.reasoning_tokens
            if usage.compute_ms:
                meta["attrs"] = meta.get("attrs", {}) | {"compute_ms": usage.compute_ms}
        if self.wire != "chat":
            meta["wire"] = self.wire
        if relay is not None:
            answer = b"".join(relay.kept)
            meta["sse"] = True
            if relay.first_token_ns is not None:
                meta["ttft"] = (relay.first_token_ns - self.started_ns) // 1000 / 1000
        if overrun:
            meta["overrun"] = True
        if uncertain:
            meta["uncertain"] = True
        if estimated:
            meta["attrs"] = meta.get("attrs", {}) | {"usage_estimated": True}
        if self.adapted:
            meta["attrs"] = meta.get("attrs", {}) | {"adapted": self.adapted}
        if self.endpoint.wire != "chat":
            meta["attrs"] = meta.get("attrs", {}) | {"dialect": self.endpoint.wire}
        if self.attributes:
            meta["attrs"] = meta.get("attrs", {}) | self.attributes
        if error is not None:
            meta["code"], meta["error"] = error.code, error.message
            if self.counted_as is not None and not cost:
                meta["counted"] = self.counted_as
        return frame(meta, (answer if self.content else b"",))

    def close(self, status: Status, error: ApiError | None = None) -> None:
        """Write the end of a call whose attempts are settled already.

        Raises:
            StoreUnavailable: the journal cannot be written.
        """
        self.journal.write((self.end(None, status, error=error),))

    def refused(self, error: ApiError) -> None:
        """Write a call that never held money: the door refused it."""
        self._never_held(Status.REFUSED, {"code": error.code, "error": error.message})

    def left(self) -> None:
        """Write a call whose caller went away while it held nothing."""
        if self.attempts:
            self.close(Status.CANCELLED)
        else:
            self._never_held(Status.CANCELLED, {})

    def _never_held(self, status: Status, why: dict[str, Any]) -> None:
        meta = self._identity("span")
        meta |= {"status": status, "ms": self.elapsed_ms(), "cost": 0} | why
        if self.counted_as is not None:
            meta["counted"] = self.counted_as
        try:
            self.journal.append(meta, self.raw if self.content else b"", b"")
        except StoreUnavailable:
            return  # It spent nothing, and the caller still learns of it.

    def headers(self, target: Target | None = None) -> Headers:
        """What tells the caller where the record is, and who answers."""
        trace = self.trace_id.encode()
        headers = [(b"x-noria-trace", trace), (b"x-request-id", trace)]
        if self.quota_headers is not None:
            headers += self.quota_headers
        if target is not None:
            headers.append((b"x-noria-model", target.name.encode()))
        return headers

    def elapsed_ms(self) -> float:
        """Milliseconds since the call began."""
        return (time.monotonic_ns() - self.started_ns) // 1000 / 1000

    def _identity(self, record: str) -> dict[str, Any]:
        """A record of the call's beginning: which call it is, and whose."""
        request, key, context = self.request, self.key, self.context
        meta: dict[str, Any] = {
            "t": record,
            "id": self.span_id,
            "at": self.at_ns,
            "trace": self.trace_id,
            "kind": self.endpoint.kind,
            "model": request.model if request is not None else None,
            "key": key.id,
            "team": key.team,
            "user": key.user,
            "stream": request.stream if request is not None else False,
            "content": self.content,
        }
        if self.endpoint.wire != "chat":
            meta["dialect"] = self.endpoint.wire
        if context is not None:
            meta["parent"], meta["app"] = context.span_id, context.app or context.agent
        return meta
