"""One try at one target: send, relay, and account for whatever came of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Final

from noria.errors import ApiError, RealRequestForbidden, StoreUnavailable
from noria.gateway.call_record import CallRecord
from noria.gateway.failures import AttemptFailure, of_refusal, of_status, unkeyed
from noria.gateway.growing_hold import GrowingHold
from noria.gateway.native import NATIVE, NativeRelay
from noria.gateway.native_requests import HOSTED_USE_NANO, native_path, native_payload
from noria.gateway.passing import DEFAULT_LINES, NOTHING, without_login
from noria.gateway.rate_limits import Quota
from noria.gateway.request import Request
from noria.gateway.stream import StreamRelay
from noria.gateway.translating import PING_SECONDS, Translation, ping, translated_reply
from noria.http.client_connection import Exchange, UpstreamFailure
from noria.http.sink import Headers, ResponseSink
from noria.models import Target, usage_of
from noria.models.endpoint import Endpoint
from noria.models.refusal import Refusal
from noria.models.wire import read_json
from noria.types import Status, Usage

if TYPE_CHECKING:
    from noria.gateway.core import Gateway
    from noria.gateway.reservation import CostBound, Hold

__all__ = ["Attempt", "HedgeRace"]

log = logging.getLogger("noria.gateway")

_BYTES_PER_TOKEN: Final = 4

Then = Callable[[AttemptFailure | None], None]


class HedgeRace:
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


def _reporting(step: Callable[..., AttemptFailure | None]) -> Callable[..., None]:
    """Decorator: run a step and report its failure to the waiting caller instead of raising."""

    @wraps(step)
    def take(attempt: Attempt, *told: UpstreamFailure | None) -> None:
        if attempt.ended:
            return  # The caller has left meanwhile.
        try:
            failed = step(attempt, *told)
        except RealRequestForbidden as forbidden:
            failed = AttemptFailure(ApiError(500, "real_request_forbidden", str(forbidden)))
        except Exception:
            log.exception("A call of %s failed inside noria.", attempt.target.name)
            failed = AttemptFailure.inside()
        if failed is not None:
            attempt._report(failed)

    return take


class Attempt:
    """One attempt, from its hold to its settlement. Exactly one of its ends is reached: `start`
    or `run` gives None, or `settle`, `fail` or `cancelled` is called.

    Nothing in it waits: the hold is written, the request sent, the answer passed on, its end
    written, each when the one before has said that it is done.
    """

    def __init__(
        self,
        gateway: Gateway,
        record: CallRecord,
        request: Request,
        target: Target,
        hold: Hold,
        bound: CostBound,
        sink: ResponseSink,
        claim: HedgeRace | None = None,
        *,
        fresh: bool = False,
    ) -> None:
        self._fresh = fresh
        self._gateway = gateway
        self._record = record
        self._request = request
        self.target = target
        self._upstream = target.speaking(request.endpoint.wire)
        self._hold = hold
        self._bound = bound
        self._growing: GrowingHold | None = None
        self._pinging: asyncio.TimerHandle | None = None
        """Tells the caller of a silent stream that it goes on."""
        self._sink = sink
        self._claim = claim
        self._exchange: Exchange | None = None
        self._relay: StreamRelay | None = None
        self.forwarded = False
        """Whether bytes of this attempt have gone to the caller, after which nothing can be tried
        again."""
        self._last = b""
        """What came of a stream together with its end."""
        self._headers: Headers = []
        self._number = 0
        self._sent = b""
        """The request's JSON as it was sent."""
        self._quota: Quota | None = None
        self._then: Then = _nobody
        if claim is not None:
            claim.enter(self)
        self._spent = 0
        """What the answer cost."""
        self.tokens = 0
        self.recorded = True
        """Whether its hold stands in the journal, or is about to."""
        self.ended = False
        """Whether it was settled."""

    async def run(self, headers: Headers) -> AttemptFailure | None:
        """Ask the target. None when the caller has the whole answer and it is recorded."""
        done: asyncio.Future[AttemptFailure | None] = self._gateway.loop.create_future()
        self.start(headers, lambda failed: None if done.done() else done.set_result(failed))
        return await done

    def start(self, headers: Headers, then: Then) -> None:
        """Ask the target as soon as the hold stands in the journal.

        Args:
            headers: what the caller's answer is to carry.
            then: called once: with None when the caller has the whole answer and it is recorded,
                else with what went wrong.
        """
        self._headers, self._then = headers, then
        self._number, frame = self._record.hold(self.target, self._hold)
        self._gateway.group_commit.after(frame, self._ask, self._unrecorded)

    def _unrecorded(self, failure: StoreUnavailable) -> None:
        self.recorded, self.ended = False, True
        self._record.attempts -= 1
        self._gateway.leases.settle(self._hold, 0)
        message = f"The call cannot be recorded, so it was not made: {failure.message}"
        self._report(AttemptFailure(ApiError(503, "journal_unavailable", message, retry_after=5)))

    @_reporting
    def _ask(self) -> AttemptFailure | None:
        target, request = self.target, self._request
        quota = Quota.of_target(target)
        if quota is not None:
            try:
                self._gateway.limits.enter(quota, 0)
            except ApiError as busy:
                return AttemptFailure(busy, elsewhere=True)
            self._quota = quota
        if request.stream:
            relay = self._relay = self._make_relay()
            hold = self._hold
            if hold.asked > hold.limit and hold.accounts:
                leases = self._gateway.leases
                self._growing = GrowingHold(leases, hold, self._bound, relay, self._grown)
            if relay.into is not None:
                self._pinging = self._gateway.loop.call_later(PING_SECONDS, self._ping)
        self._send()
        return None

    def _make_relay(self) -> StreamRelay:
        request, wire, into = self._request, self._upstream.wire, self._request.endpoint.wire
        native = wire in NATIVE
        if wire == into and not native:
            return StreamRelay(wants_usage=request.wants_usage, choices=request.choices)
        relay = NativeRelay(wire) if native else StreamRelay(wants_usage=True, choices=1)
        if wire != into:
            wants_usage = request.wants_usage
            relay.into = Translation(wire, into, self.target.name, wants_usage=wants_usage)
        return relay

    def _send(self) -> None:
        target, request, upstream = self.target, self._request, self._upstream
        limit, extra, said = self._hold.asked or None, b"", None
        self._record.wire = upstream.wire
        if upstream.wire != request.endpoint.wire:
            said, notes = request.said[target.name]
            self._record.translated(request.endpoint.wire, upstream.wire, notes)
        if upstream.wire == "chat":
            path = request.endpoint.path if said is None else Endpoint.CHAT.path
            changes = self._gateway.adaptations.of(target)
            payload = request.payload(target, limit, changes, said)
            self._record.adapted = request.changed(changes) if changes else changes
        else:
            passing = request.passing if said is None else NOTHING
            path = native_path(upstream.wire, target.model, request.stream, passing.query)
            payload = native_payload(request, target.model, limit, upstream.wire, said)
            extra = passing.lines or DEFAULT_LINES.get(upstream.wire, b"")
            if passing.login:
                upstream = without_login(upstream)
        self._sent = payload
        self._exchange = self._gateway.upstreams.send(
            upstream,
            b"POST",
            path,
            payload,
            self._relay_on if self._relay is not None else None,
            self._conclude,
            fresh=self._fresh,
            extra=extra,
        )

    def _report(self, failed: AttemptFailure | None) -> None:
        """Tell whoever waits for the outcome."""
        self._leave()
        then, self._then = self._then, _nobody
        then(failed)

    def _leave(self) -> None:
        """Count out of the target's own limits, and let go of what refers to this."""
        self._growing = None
        if self._pinging is not None:
            self._pinging.cancel()
            self._pinging = None
        if self._quota is not None:
            self._gateway.limits.leave(self._quota, 0)
            self._quota = None

    def stop(self) -> None:
        """Another attempt answers, or nobody waits any more: let the upstream go."""
        if self._exchange is not None:
            self._exchange.cancel()

    def _relay_on(self, data: bytes) -> None:
        """A piece of the stream has come."""
        exchange, relay = self._exchange, self._relay
        assert exchange is not None
        assert relay is not None
        passed = relay.feed(data)
        if relay.complete:
            self._last = passed  # It follows with the end, in one write.
        elif passed and (self._claim is None or self._claim.take(self)):
            if not self.forwarded:
                self.forwarded = True
                self._sink.begin(self._headers, exchange)
            self._sink.write(passed)
        if relay.over:
            exchange.stop_listening()
        elif self._growing is not None and not self._growing.covers(len(data), exchange, self._cut):
            self._cut()

    def _ping(self) -> None:
        """A translated stream was silent for a while: tell its caller that it goes on. Once that
        was said, no other target can answer in its place."""
        exchange = self._exchange
        if self.ended or exchange is None:
            return
        if self._claim is None or self._claim.take(self):
            if not self.forwarded:
                self.forwarded = True
                self._sink.begin(self._headers, exchange)
            self._sink.write(ping(self._request.endpoint.wire))
        self._pinging = self._gateway.loop.call_later(PING_SECONDS, self._ping)

    def _cut(self) -> None:
        """The budget has no more: the answer ends here, as at any other limit."""
        exchange, relay = self._exchange, self._relay
        assert exchange is not None
        assert relay is not None
        if self.ended or relay.over:
            return
        self._last = relay.cut()
        self._record.attributes["cut"] = "budget"
        exchange.stop_listening()
        exchange.cancel()  # The target is to write no more.

    def _grown(self, amount: int) -> None:
        """The hold has grown."""
        frame = self._record.more(self._number, amount)
        self._gateway.group_commit.after(frame, _nothing, _unheard)

    # What came of it

    @_reporting
    def _conclude(self, failure: UpstreamFailure | None) -> AttemptFailure | None:
        """The exchange has ended. `failure` says why no usable answer came."""
        exchange, relay = self._exchange, self._relay
        assert exchange is not None
        if failure is not None:
            failed = self._broken(failure)
            failed.again = failure.code == "upstream_reset" and not (
                exchange.fresh or exchange.started
            )
            return failed
        if not 200 <= exchange.status < 300:
            return self._refused(exchange)
        if self._claim is not None and not self._claim.take(self):
            return self._broken(UpstreamFailure("upstream_cancelled", "Another one answered."))
        if relay is None:
            return self._finish_plain(exchange)
        if not exchange.streaming:
            return self._no_stream(exchange.body)
        return self._finish_stream(relay)

    def _refused(self, exchange: Exchange) -> AttemptFailure | None:
        """The upstream says no. Where that is about a field which the model does not take, it is
        asked once more without, and so is everybody's next call."""
        if exchange.status in (400, 422):
            refusal = Refusal.of(exchange.body)
            if self._gateway.adaptations.learn(self.target, self._sent, refusal):
                self._send()
                return None
        return of_status(self.target, exchange)

    def _no_stream(self, answer: bytes) -> AttemptFailure:
        """A stream was asked for, and something else came."""
        try:
            refusal = Refusal.within(read_json(answer)[0])
        except ValueError:
            refusal = None
        if refusal is not None:
            return self._told(refusal)
        return self._unusable("The upstream server did not answer with a stream.", answer)

    def _told(self, refusal: Refusal) -> AttemptFailure:
        """The upstream said in an answer that it failed. Nothing is charged, unless a part of the
        answer has gone to the caller."""
        failed = of_refusal(self.target, refusal)
        relay = self._relay
        if relay is not None and self.forwarded:
            said = unkeyed(refusal.message, self.target) or "It does not say why."
            code = refusal.code or failed.error.code
            failed.error = ApiError(
                failed.error.status, code, f"{self.target.name} broke off: {said}"
            )
            failed.final = True
            failed.usage, _ = self._used(relay)
        self.stop()
        return failed

    def _finish_plain(self, exchange: Exchange) -> AttemptFailure | None:
        answer = exchange.body
        try:
            reply, answer = read_json(answer)
        except ValueError:
            return self._unusable("The upstream server's answer is not valid JSON.", answer)
        refusal = Refusal.within(reply)
        if refusal is not None:
            return self._told(refusal)
        endpoint, native = self._request.endpoint, NATIVE.get(self._upstream.wire)
        wanted = native.answer if native is not None else endpoint.answer
        if not isinstance(reply, dict) or not (
            isinstance(reply.get(wanted), list) or (native is not None and native.is_whole(reply))
        ):
            why = f"The upstream server's answer holds no {wanted}."
            return self._unusable(why, answer)
        exchange.body = answer
        usage = native.usage(reply) if native is not None else usage_of(reply)
        wire, into = self._upstream.wire, endpoint.wire
        if wire != into:
            try:
                exchange.body = translated_reply(reply, wire, into, self.target.name)
            except ValueError as odd:
                return self._unusable(f"The upstream server's answer cannot be read: {odd}", answer)
        if usage is None or usage.absurd:
            self._finish(self._instead(usage, self._estimate(len(answer))), True, answer)
        else:
            self._finish(usage, False, answer)
        return None

    def _finish_stream(self, relay: StreamRelay) -> AttemptFailure | None:
        relay.end()
        if relay.refusal is not None:
            return self._told(relay.refusal)
        if relay.error is not None:
            return self._broken(UpstreamFailure("upstream_malformed", relay.error))
        self._finish(*self._used(relay))
        return None

    def _finish(self, usage: Usage, estimated: bool, answer: bytes = b"") -> None:
        """Let the caller see the end once it stands in the journal, and not at all otherwise."""
        self._spent = self._cost(usage, estimated)
        if self._hold.narrow and not estimated:
            bounds = self._gateway.prompt_bounds
            bounds.learn(self._request, self.target, usage.input_tokens)
        frame = self._closing(usage, self._spent, estimated, answer)
        self._gateway.group_commit.after(frame, self._deliver, self._withhold)

    def _deliver(self) -> None:
        """The end stands in the journal."""
        self._gateway.leases.settle(self._hold, self._spent)
        exchange, relay = self._exchange, self._relay
        assert exchange is not None
        try:
            if relay is None:
                self._headers.append((b"x-noria-cost-nano", b"%d" % self._spent))
                self._sink.answer(self._headers, exchange.body)
            else:
                if not self.forwarded:
                    self._sink.begin(self._headers, exchange)
                self._sink.finish(self._last + relay.last_bytes)
        finally:
            self._report(None)

    def _withhold(self, failure: StoreUnavailable) -> None:
        """The end cannot be recorded."""
        self._gateway.leases.settle(self._hold, self._spent)
        error = ApiError(500, "journal_unavailable", failure.message)
        self._report(AttemptFailure(error, final=True))

    def _closing(
        self,
        usage: Usage | None,
        cost: int,
        estimated: bool,
        answer: bytes = b"",
        status: Status = Status.OK,
        error: ApiError | None = None,
        uncertain: bool = False,
    ) -> bytes:
        """The record of the end."""
        self.ended = True
        context, hold = self._record.context, self._hold
        if usage is not None:
            self.tokens = usage.input_tokens + usage.output_tokens
            if context is not None:
                context.trace.usage.input_tokens += usage.input_tokens
                context.trace.usage.output_tokens += usage.output_tokens
        return self._record.end(
            self._number,
            status,
            self.target,
            usage,
            cost,
            answer,
            self._relay,
            error=error,
            overrun=cost > hold.amount and bool(hold.accounts),
            estimated=estimated,
            uncertain=uncertain,
        )

    def _close(
        self,
        status: Status,
        usage: Usage | None,
        cost: int,
        *,
        estimated: bool,
        uncertain: bool = False,
        error: ApiError | None = None,
    ) -> None:
        """Record an end without an answer, and settle."""
        frame = self._closing(
            usage, cost, estimated, status=status, error=error, uncertain=uncertain
        )
        try:
            self._record.journal.write((frame,))
        except StoreUnavailable:
            pass  # The intake will charge the hold, which is at least the cost.
        finally:
            self._gateway.leases.settle(self._hold, cost)

    def settle(self, failed: AttemptFailure) -> None:
        """Close this attempt; the call goes on, or went on, with another."""
        if self.ended:
            return  # It was never recorded.
        usage, cost, uncertain = self._charge(failed)
        self.ended = True
        try:
            self._record.settle(
                self._number, cost, failed.error.code, failed.error.message, usage, uncertain
            )
        except StoreUnavailable:
            pass  # The intake will charge the hold, which is at least the cost.
        finally:
            self._gateway.leases.settle(self._hold, cost)

    def _charge(self, failed: AttemptFailure) -> tuple[Usage | None, int, bool]:
        """What a failed attempt has used and cost, and whether that is uncertain: one that was
        sent and got no answer may be billed, by default as much as was held for it."""
        usage = failed.usage
        if failed.unanswered:
            unanswered = self._gateway.unanswered
            if unanswered == "hold":
                return None, self._hold.amount, True
            if unanswered == "nothing":
                return None, 0, True
            usage = self._estimate(0)
            usage.output_tokens = 0
        elif usage is None and failed.error.code == "upstream_cancelled":
            usage = self._estimate(0)  # the provider has read the prompt
        return usage, self._cost(usage, True) if usage else 0, failed.unanswered

    def fail(self, failed: AttemptFailure) -> None:
        """Close this attempt and the call: there is no answer."""
        if failed.error.code == "journal_unavailable":
            self._break_off(failed.error)
            return
        usage, cost, uncertain = self._charge(failed)
        self._close(
            Status.ERROR,
            usage,
            cost,
            estimated=bool(usage),
            uncertain=uncertain,
            error=failed.error,
        )
        self._break_off(failed.error)

    def cancelled(self) -> None:
        """The caller went away: stop the upstream, charge what was generated."""
        self.ended, self._then = True, _nobody
        self._gateway.group_commit.end()  # the hold may still wait to be written
        self.stop()
        self._leave()
        usage, estimated = None, False
        if self._exchange is not None:
            usage, estimated = self._used_so_far(self._exchange)
        if self.recorded:
            cost = self._cost(usage, estimated) if usage else 0
            self._close(Status.CANCELLED, usage, cost, estimated=estimated)

    def _used_so_far(self, exchange: Exchange) -> tuple[Usage, bool]:
        """What an unfinished answer has used, and whether that is an estimate."""
        relay = self._relay
        if relay is not None and (relay.usage is not None or exchange.streaming):
            return self._used(relay)
        return self._estimate(0), True  # the provider has read the prompt

    def _break_off(self, error: ApiError) -> None:
        """Tell a caller in mid-stream that the rest will not come."""
        if self.forwarded:
            assert self._relay is not None
            self._sink.finish(self._relay.broken(error))

    # Failures

    def _broken(self, failure: UpstreamFailure) -> AttemptFailure:
        status = 504 if failure.code == "upstream_timeout" else 502
        name = self.target.name
        failed = AttemptFailure(
            ApiError(status, failure.code, f"{name} gave no answer. {failure.message}"),
            retryable=failure.code != "upstream_too_large",
            elsewhere=True,
            is_targets_fault=True,
        )
        relay, exchange = self._relay, self._exchange
        if relay is not None and self.forwarded:
            failed.final = True
            failed.error.message = f"{name} broke off. {failure.message}"
        if relay is not None and (relay.usage is not None or relay.first_token_ns is not None):
            failed.usage, _ = self._used(relay)
        elif exchange is not None and exchange.sent and failure.code != "upstream_cancelled":
            failed.unanswered = True
        self.stop()
        return failed

    def _unusable(self, why: str, answer: bytes) -> AttemptFailure:
        """The upstream took the call for answered (and will charge it), but nobody can use it."""
        failed = self._broken(UpstreamFailure("upstream_malformed", why))
        failed.usage, failed.unanswered = self._estimate(len(answer)), False
        return failed

    # Money

    def _cost(self, usage: Usage, estimated: bool) -> int:
        if usage.absurd:
            return self._hold.amount
        price = self.target.price
        cost = price.cost(usage) if price is not None else 0
        if usage.searches:
            cost += usage.searches * HOSTED_USE_NANO
        return min(cost, self._hold.amount) if estimated and self._hold.amount else cost

    def _estimate(self, answer_bytes: int) -> Usage:
        prompt = max(1, self._request.prompt_bytes // _BYTES_PER_TOKEN)
        return Usage(prompt, max(1, answer_bytes // _BYTES_PER_TOKEN))

    def _used(self, relay: StreamRelay) -> tuple[Usage, bool]:
        """What a stream has used, and whether that is an estimate."""
        usage = relay.usage
        if usage is None or usage.absurd:
            return self._instead(usage, self._estimate_stream(relay)), True
        return usage, False

    @staticmethod
    def _instead(usage: Usage | None, estimate: Usage) -> Usage:
        """An estimate in place of figures that are not there or cannot be true."""
        estimate.absurd = usage is not None
        return estimate

    def _estimate_stream(self, relay: StreamRelay) -> Usage:
        usage = self._estimate(0)
        written = relay.written()
        usage.output_tokens = max(written.pieces, written.text_bytes // _BYTES_PER_TOKEN)
        return usage


def _nobody(_: AttemptFailure | None) -> None:
    """Nobody waits for the outcome any more."""


def _nothing() -> None:
    """Nothing waits for a record to be written."""


def _unheard(_: StoreUnavailable) -> None:
    """The record could not be written. Should its process die, the lease is charged whole."""
