"""One try at one target: send, relay, and account for whatever came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from noria.errors import ApiError, StoreUnavailable
from noria.gateway.limits import Limits, Quota
from noria.gateway.purse import Hold, Purse
from noria.gateway.recorder import CallRecord
from noria.gateway.relay import Relay
from noria.gateway.request import Request
from noria.gateway.routing import parse_retry_after
from noria.gateway.sink import Headers, Sink
from noria.gateway.upstream import Exchange, UpstreamFailure, Upstreams
from noria.models import Target, usage_of
from noria.types import Status, Usage

__all__ = ["Attempt", "Claim", "Failed"]

_BYTES_PER_TOKEN = 4


@dataclass(slots=True)
class Failed:
    """Why an attempt gave no answer, and what may be done about it."""

    error: ApiError
    """What the caller is told if nothing else helps."""
    retryable: bool = False
    """The same target may be asked again."""
    elsewhere: bool = False
    """Another target may be asked."""
    is_targets_fault: bool = False
    """It counts against the target's circuit breaker."""
    final: bool = False
    """Bytes have reached the caller, so nothing may be tried again."""
    retry_after: float | None = None
    usage: Usage | None = None
    """What was used all the same, where that can be told."""

    @classmethod
    def resting(cls, target: Target) -> Failed:
        """The target's circuit breaker is open."""
        return cls(
            ApiError(
                503, "upstream_resting",
                f"{target.name} failed several times in a row and is left alone for a while.",
                retry_after=5,
            ),
            elsewhere=True,
        )  # fmt: skip

    @classmethod
    def outrun(cls) -> Failed:
        """Another attempt answered first."""
        return cls(ApiError(502, "upstream_cancelled", "Another target answered first."))


class Claim:
    """Which of several attempts at the same call may answer: the first that has something."""

    def __init__(self) -> None:
        self.winner: Attempt | None = None
        self._attempts: list[Attempt] = []

    def enter(self, attempt: Attempt) -> None:
        """Take part."""
        self._attempts.append(attempt)

    def take(self, attempt: Attempt) -> bool:
        """Ask to answer. The first to ask may, and the others are stopped."""
        if self.winner is None:
            self.winner = attempt
            for other in self._attempts:
                if other is not attempt:
                    other.stop()
        return self.winner is attempt


class Attempt:
    """One attempt, from its hold to its settlement. Exactly one of its ends is reached:
    `run` gives None, or `settle`, `fail` or `cancelled` is called."""

    def __init__(
        self,
        record: CallRecord,
        request: Request,
        target: Target,
        hold: Hold,
        sink: Sink,
        purse: Purse,
        limits: Limits,
        upstreams: Upstreams,
        claim: Claim | None = None,
    ) -> None:
        self._record = record
        self._request = request
        self.target = target
        self._hold = hold
        self._sink = sink
        self._purse = purse
        self._limits = limits
        self._upstreams = upstreams
        self._exchange: Exchange | None = None
        self._relay: Relay | None = None
        self._headers: Headers = []
        self._number = 0
        self._claim = claim
        if claim is not None:
            claim.enter(self)
        self.tokens = 0
        self.ended = False
        """Whether it was settled."""
        try:
            self._number = record.hold(target, hold)
        except ApiError:
            purse.settle(hold, 0)
            raise

    @property
    def forwarded(self) -> bool:
        """Whether bytes of this attempt have reached the caller."""
        return self._relay is not None and self._relay.forwarded

    async def run(self, headers: Headers) -> Failed | None:
        """Ask the target. None when the caller has the whole answer and it is recorded."""
        quota = Quota.of_target(self.target)
        if not quota.limited:
            return await self._run(headers)
        try:
            self._limits.enter(quota, 0)
        except ApiError as busy:
            return Failed(busy, elsewhere=True)
        try:
            return await self._run(headers)
        finally:
            self._limits.leave(quota, 0)

    async def _run(self, headers: Headers) -> Failed | None:
        self._headers = headers
        body = self._request.payload(self.target, self._hold.limit or None)
        if self._request.stream:
            self._relay = Relay(
                self._forward,
                self._stop_listening,
                wants_usage=self._request.wants_usage,
                choices=self._request.choices,
            )
        try:
            answer = await self._send(body)
        except UpstreamFailure as failure:
            return self._broken(failure)
        exchange = self._exchange
        assert exchange is not None
        if exchange.status != 200:
            return self._upstream_error(exchange, answer)
        if not self._may_answer():
            return self._broken(UpstreamFailure("upstream_cancelled", "Another one answered."))
        if self._relay is not None:
            if not exchange.streaming:
                return self._unusable("The upstream server did not answer with a stream.", answer)
            return self._finish_stream(self._relay)
        return self._finish_plain(answer)

    async def _send(self, body: bytes) -> bytes:
        feed = self._relay.feed if self._relay is not None else None
        path, upstream = self._request.endpoint.path, self.target.upstream
        self._exchange = await self._upstreams.send(upstream, b"POST", path, body, feed)
        try:
            return await self._exchange.finished()
        except UpstreamFailure as failure:
            if self._exchange.fresh or self._exchange.started or failure.code != "upstream_reset":
                raise
        # An idle connection was closed at the other end just as it was used.
        self._exchange = await self._upstreams.send(upstream, b"POST", path, body, feed, fresh=True)
        return await self._exchange.finished()

    def stop(self) -> None:
        """Another attempt answers: let the upstream go."""
        if self._exchange is not None:
            self._exchange.cancel()

    def _may_answer(self) -> bool:
        return self._claim is None or self._claim.take(self)

    def _forward(self, data: bytes) -> None:
        assert self._exchange is not None
        if not self._may_answer():
            return
        if self._headers:
            self._sink.begin(self._headers, self._exchange)
            self._headers = []
        self._sink.write(data)

    def _stop_listening(self) -> None:
        if self._exchange is not None:
            self._exchange.stop_listening()

    # What came of it

    def _finish_plain(self, answer: bytes) -> Failed | None:
        try:
            reply: Any = orjson.loads(answer)
            usage = usage_of(reply)
        except (orjson.JSONDecodeError, AttributeError):
            return self._unusable("The upstream server's answer is not valid JSON.", answer)
        estimated = usage is None
        if usage is None:
            usage = self._estimate(len(answer))
        cost = self._cost(usage, estimated)
        failed = self._end(Status.OK, usage, cost, response=answer, estimated=estimated)
        if failed is None:
            self._headers.append((b"x-noria-cost-nano", b"%d" % cost))
            self._sink.answer(self._headers, answer)
        return failed

    def _finish_stream(self, relay: Relay) -> Failed | None:
        relay.end()
        if relay.error is not None:
            return self._broken(UpstreamFailure("upstream_malformed", relay.error))
        usage = relay.usage or self._estimate_stream(relay)
        estimated = relay.usage is None
        failed = self._end(
            Status.OK, usage, self._cost(usage, estimated), estimated=estimated,
            response=b"".join(relay.kept), sse=True, first_token_ns=relay.first_token_ns,
        )  # fmt: skip
        if failed is None:
            if self._headers:
                assert self._exchange is not None
                self._sink.begin(self._headers, self._exchange)
            self._sink.finish(relay.last_bytes)
        return failed

    def _end(self, status: Status, usage: Usage | None, cost: int, **more: Any) -> Failed | None:
        """Record the end and settle. Where it cannot be recorded the caller must not see an end."""
        self.tokens = usage.input_tokens + usage.output_tokens if usage else 0
        overrun = bool(self._hold.accounts) and cost > self._hold.amount
        self.ended = True
        place = self._record.place
        if place is not None and usage is not None:
            place.trace.usage.input_tokens += usage.input_tokens
            place.trace.usage.output_tokens += usage.output_tokens
        try:
            self._record.end(
                self._number, status, target=self.target, usage=usage, cost=cost,
                overrun=overrun, **more,
            )  # fmt: skip
        except StoreUnavailable as failed:
            error = ApiError(500, "journal_unavailable", failed.message)
            return Failed(error, final=True)
        finally:
            self._purse.settle(self._hold, cost)
        return None

    def settle(self, failed: Failed) -> None:
        """Close this attempt; the call goes on, or went on, with another."""
        if failed.usage is None and failed.error.code == "upstream_cancelled":
            failed.usage = self._estimate(0)  # the provider has read the prompt
        cost = self._cost(failed.usage, True) if failed.usage else 0
        self.ended = True
        try:
            self._record.settle(
                self._number, cost, failed.error.code, failed.error.message, failed.usage
            )
        except StoreUnavailable:
            pass  # The intake will charge the hold, which is at least the cost.
        finally:
            self._purse.settle(self._hold, cost)

    def fail(self, failed: Failed) -> None:
        """Close this attempt and the call: there is no answer."""
        if failed.error.code == "journal_unavailable":
            self._break_off(failed.error)
            return
        cost = self._cost(failed.usage, True) if failed.usage else 0
        relay = self._relay
        self._end(
            Status.ERROR, failed.usage, cost, error=failed.error, estimated=bool(failed.usage),
            response=b"".join(relay.kept) if relay else b"", sse=relay is not None,
            first_token_ns=relay.first_token_ns if relay else None,
        )  # fmt: skip
        if self.forwarded:
            self._break_off(failed.error)

    def cancelled(self) -> None:
        """The caller went away: stop the upstream, charge what was generated."""
        self.stop()
        relay, usage, estimated = self._relay, None, False
        if self._exchange is not None:
            usage, estimated = self._used_so_far(self._exchange)
        self._end(
            Status.CANCELLED, usage, self._cost(usage, estimated) if usage else 0,
            estimated=estimated, sse=relay is not None,
            response=b"".join(relay.kept) if relay else b"",
            first_token_ns=relay.first_token_ns if relay else None,
        )  # fmt: skip

    def _used_so_far(self, exchange: Exchange) -> tuple[Usage, bool]:
        """What an unfinished answer has used, and whether that is an estimate."""
        if self._relay is not None and self._relay.usage is not None:
            return self._relay.usage, False
        if self._relay is not None and exchange.streaming:
            return self._estimate_stream(self._relay), True
        return self._estimate(0), True  # the provider has read the prompt

    def _break_off(self, error: ApiError) -> None:
        """Tell a caller in mid-stream that the rest will not come."""
        if self.forwarded:
            self._sink.finish(b"data: %b\n\n" % orjson.dumps(error.body()))

    # Failures

    def _broken(self, failure: UpstreamFailure) -> Failed:
        status = 504 if failure.code == "upstream_timeout" else 502
        name = self.target.name
        failed = Failed(
            ApiError(status, failure.code, f"{name} gave no answer. {failure.message}"),
            retryable=failure.code != "upstream_too_large",
            elsewhere=True,
            is_targets_fault=True,
        )
        relay = self._relay
        if relay is not None and relay.forwarded:
            failed.final = True
            failed.error.message = f"{name} broke off. {failure.message}"
            failed.usage = relay.usage or self._estimate_stream(relay)
        self.stop()
        return failed

    def _unusable(self, why: str, answer: bytes) -> Failed:
        """The upstream took the call for answered (and will charge it), but nobody can use it."""
        failed = self._broken(UpstreamFailure("upstream_malformed", why))
        failed.usage = self._estimate(len(answer))
        return failed

    def _upstream_error(self, exchange: Exchange, answer: bytes) -> Failed:
        """Turn an error status into what the caller is told. What a server says about our own
        key is not passed on: it may quote the key."""
        status, name = exchange.status, self.target.name
        retry_after = parse_retry_after(exchange.retry_after)
        if status == 429:
            seconds = None if retry_after is None else max(1, round(retry_after))
            error = ApiError(
                429, "upstream_rate_limited", f"{name} is taking no more calls at present.",
                retry_after=seconds,
            )  # fmt: skip
            return Failed(error, True, True, retry_after=retry_after)
        if status in (401, 402, 403):
            error = ApiError(
                502, "upstream_credentials",
                f"{name} does not accept noria's own credentials (status {status}). "
                "Check the provider's key: noria doctor.",
            )  # fmt: skip
            return Failed(error, False, True, True)
        said, code, param = _said(answer)
        if 400 <= status < 500 and status not in (408, 409, 425):
            error = ApiError(
                status, code or "upstream_refused_request", said or f"{name} refused the call.",
                param=param,
            )  # fmt: skip
            return Failed(error, elsewhere=status == 404)
        error = ApiError(502, "upstream_error", f"{name} failed with status {status}.")
        return Failed(error, True, True, True, retry_after=retry_after)

    # Money

    def _cost(self, usage: Usage, estimated: bool) -> int:
        price = self.target.price
        cost = price.cost(usage) if price is not None else 0
        return min(cost, self._hold.amount) if estimated and self._hold.amount else cost

    def _estimate(self, answer_bytes: int) -> Usage:
        prompt = max(1, len(self._record.raw) // _BYTES_PER_TOKEN)
        return Usage(prompt, max(1, answer_bytes // _BYTES_PER_TOKEN))

    def _estimate_stream(self, relay: Relay) -> Usage:
        usage = self._estimate(0)
        written = relay.written()
        usage.output_tokens = max(written.pieces, written.text_bytes // _BYTES_PER_TOKEN)
        return usage


def _said(answer: bytes) -> tuple[str | None, str | None, str | None]:
    """The message, code and field of an upstream's error, in OpenAI's shape or near it."""
    try:
        error: Any = orjson.loads(answer)["error"]
        if isinstance(error, str):
            return error[:2000], None, None
        message, code, param = error.get("message"), error.get("code"), error.get("param")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None, None, None
    return (
        str(message)[:2000] if message else None,
        code if isinstance(code, str) else None,
        param if isinstance(param, str) else None,
    )
