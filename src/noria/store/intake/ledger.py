"""What a batch of journal records means: spans, holds, money and sums, worked out in memory.

A `Ledger` is filled with records in the order in which they were written, each journal's in its
own, and then written to the database at once by `book.py`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from noria.store.budgets.windows import Beside
from noria.store.intake.rollups import HOUR_NS, bucket_of
from noria.store.journal.format import Record

__all__ = ["Group", "Hold", "Lease", "Ledger", "PendingSpan"]

log = logging.getLogger("noria.store")

# What a provider claims is cut to these, so that no sum leaves the 64 bits of a column.
_MOST_TOKENS = 2**40
_MOST_NANO = 2**53
# Kinds that are calls of a model, whose latency is counted.
_CALLS = ("chat", "embedding")

TOKENS = (("in", "input_tokens"), ("out", "output_tokens"),
          ("cached", "cached_tokens"), ("reasoning", "reasoning_tokens"))  # fmt: skip


Group = tuple[int, str, str, str, str, str, str, str]
"""What a roll-up row is about: start of the hour, model, team, key, user, target, app, kind."""


@dataclass(slots=True)
class PendingSpan:
    """A span as the batch leaves it. The names are those of the columns."""

    id: str
    at: int
    trace_id: str
    parent_id: str | None
    kind: str
    status: str
    name: str | None
    model: str | None
    target: str | None
    key_id: str | None
    team: str | None
    user: str | None
    app: str | None
    stream: bool
    holder: str | None
    content: bool
    stored: bool = False
    """Whether it has a row already."""
    counted_as: str | None = None
    """The name of its model in sums, where that is not the one that was asked for."""
    attempts: int = 0
    duration_ms: float | None = None
    ttft_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_nano: int = 0
    overrun: bool = False
    uncertain_nano: int = 0
    """Of the cost, what was charged for attempts that were sent and got no answer."""
    error_code: str | None = None
    error: str | None = None
    attributes: dict[str, Any] | None = None
    request: bytes | None = None
    response: bytes | None = None
    sse: bool = False
    dialect: str | None = None
    """The dialect of the request, where it is not OpenAI's chat."""
    wire: str | None = None
    """The dialect of the response, where it is another."""
    ended: bool = False
    """Whether it ended in this batch."""


@dataclass(slots=True)
class Hold:
    """The money held for one attempt."""

    at: int
    holder: str
    amount: int
    leases: list[int]
    stored: bool = False


@dataclass(slots=True)
class Lease:
    """A holder's part of a budget's window, with what this batch takes from it and settles."""

    holder: str
    window: tuple[int, int]
    remaining: int
    taken: int = 0
    settled: int = 0

    def take(self, amount: int) -> None:
        """Take from it, down to nothing at most."""
        self.taken = min(self.taken + amount, self.remaining)


@dataclass(slots=True)
class Sums:
    """What one roll-up row grows by."""

    calls: int = 0
    errors: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano: int = 0
    uncertain_nano: int = 0


@dataclass(slots=True)
class Ledger:
    """One batch. `drafts`, `holds` and `leases` are loaded before the first record is added."""

    drafts: dict[str, PendingSpan] = field(default_factory=dict)
    holds: dict[tuple[str, int], Hold] = field(default_factory=dict)
    closed: list[tuple[str, int]] = field(default_factory=list)
    """Holds with a row, which goes."""
    grown: set[tuple[str, int]] = field(default_factory=set)
    """Holds with a row, whose amount has changed."""
    leases: dict[int, Lease] = field(default_factory=dict)
    beside: list[Beside] = field(default_factory=list)
    """Windows that were opened while calls of this batch were under way."""
    settled_beside: defaultdict[tuple[int, int], int] = field(
        default_factory=lambda: defaultdict(int)
    )
    """What such calls have cost, by window."""
    known: set[str] = field(default_factory=set)
    """Those spans that a client tells of which have a row already."""
    sums: defaultdict[Group, Sums] = field(default_factory=lambda: defaultdict(Sums))
    latencies: defaultdict[tuple[int, str, int], int] = field(
        default_factory=lambda: defaultdict(int)
    )
    """Calls by (start of the hour, model, bucket)."""

    def add(self, holder: str, record: Record) -> None:
        """Add one record of a holder's journal."""
        meta, blobs = record.meta, record.blobs
        kind = meta["t"]
        if kind == "hold":
            self._begin(holder, meta, blobs)
            self._hold(holder, meta)
        elif kind == "begin":
            self._begin(holder, meta, blobs)
        elif kind == "span":
            self._begin(holder, meta, blobs[:1])
            self._end(meta, blobs[1:])
        elif kind == "foreign":
            self._hear(meta, blobs)
        elif kind == "return":
            self._give_back(holder, meta["lease"], meta["amount"])
        elif kind == "close":
            pass  # the free lock says the same of every process, of those killed too
        elif meta["id"] not in self.drafts:
            log.warning("The journal of %s ends a span that it never began: %s", holder, meta)
        elif kind == "attempt":
            draft = self.drafts[meta["id"]]
            draft.target = meta["target"]
            self._hold(holder, meta)
        elif kind == "more":
            self._hold_more(meta)
        elif kind == "settle":
            draft = self.drafts[meta["id"]]
            draft.error_code = meta.get("code", draft.error_code)
            draft.error = meta.get("error", draft.error)
            self._settle(draft, meta)
        elif kind == "end":
            self._end(meta, blobs)
        else:
            log.warning("The journal of %s holds a record of unknown kind %r", holder, kind)

    def lose(self, span_id: str) -> None:
        """Close a span whose end nobody saw: all that it still holds is its cost."""
        draft = self.drafts[span_id]
        for key in [key for key in self.holds if key[0] == span_id]:
            amount = self.holds[key].amount
            self._charge(key, amount)
            draft.cost_nano += amount
            self._sums(draft).cost_nano += amount
        if draft.status == "open":
            draft.status = "lost"
            for _, name in TOKENS:
                setattr(draft, name, None)
            self._count(draft, self._sums(draft))

    def _hear(self, meta: dict[str, Any], blobs: tuple[bytes, ...]) -> None:
        """Add a span that a client tells of: no money moves, no sum grows, and what is there
        already stays as it is, so that one that is told twice is kept once. It has no holder,
        and gives way where noria makes a span with the same id."""
        if meta["id"] in self.drafts or meta["id"] in self.known:
            return
        draft = self._begin(None, meta, blobs[:1])
        self._close(draft, meta, blobs[1:])
        draft.ended = True
        draft.cost_nano = min(meta.get("cost") or 0, _MOST_NANO)
        for short, name in TOKENS:
            if (tokens := meta.get(short)) is not None:
                setattr(draft, name, min(tokens, _MOST_TOKENS))

    def _begin(
        self, holder: str | None, meta: dict[str, Any], blobs: tuple[bytes, ...]
    ) -> PendingSpan:
        get = meta.get
        content = get("content", True)
        draft = self.drafts[meta["id"]] = PendingSpan(
            id=meta["id"],
            at=meta["at"],
            trace_id=meta["trace"],
            parent_id=get("parent"),
            kind=meta["kind"],
            status="open",
            name=get("name"),
            model=get("model"),
            target=get("target"),
            key_id=get("key"),
            team=get("team"),
            user=get("user"),
            app=get("app"),
            stream=get("stream", False),
            holder=holder,
            content=content,
            request=blobs[0] if content and blobs and blobs[0] else None,
            dialect=get("dialect"),
        )
        return draft

    def _hold(self, holder: str, meta: dict[str, Any]) -> None:
        draft = self.drafts[meta["id"]]
        draft.attempts += 1
        self.holds[draft.id, meta["n"]] = Hold(draft.at, holder, meta["hold"], meta["leases"])

    def _hold_more(self, meta: dict[str, Any]) -> None:
        """Add to a hold that grows while a reply is written."""
        key = meta["id"], meta["n"]
        hold = self.holds.get(key)
        if hold is not None:
            hold.amount += meta["hold"]
            if hold.stored:
                self.grown.add(key)

    def _settle(self, draft: PendingSpan, meta: dict[str, Any]) -> Sums:
        """Add what an attempt has cost; returns the sums that the span counts in."""
        cost = min(meta.get("cost") or 0, _MOST_NANO)
        number = meta.get("n")
        if number is not None:
            self._charge((draft.id, number), cost)
        draft.cost_nano += cost
        sums = self._sums(draft)
        sums.cost_nano += cost
        if meta.get("uncertain"):
            draft.uncertain_nano += cost
            sums.uncertain_nano += cost
        for short, name in TOKENS:
            if (tokens := meta.get(short)) is not None:
                tokens = min(tokens, _MOST_TOKENS)
                setattr(draft, name, (getattr(draft, name) or 0) + tokens)
                setattr(sums, name, getattr(sums, name) + tokens)
        return sums

    def _end(self, meta: dict[str, Any], blobs: tuple[bytes, ...]) -> None:
        draft = self.drafts[meta["id"]]
        self._close(draft, meta, blobs)
        draft.counted_as = meta.get("counted")
        self._count(draft, self._settle(draft, meta))

    @staticmethod
    def _close(draft: PendingSpan, meta: dict[str, Any], blobs: tuple[bytes, ...]) -> None:
        get = meta.get
        draft.status = meta["status"]
        draft.target = get("target", draft.target)
        draft.duration_ms = get("ms")
        draft.ttft_ms = get("ttft")
        draft.overrun = get("overrun", False)
        draft.error_code = get("code")
        draft.error = get("error")
        draft.attributes = get("attrs")
        if draft.content and blobs and blobs[0]:
            draft.response = blobs[0]
            draft.sse = get("sse", False)
            draft.wire = get("wire")

    def _count(self, draft: PendingSpan, sums: Sums) -> None:
        draft.ended = True
        sums.calls += 1
        if draft.status in ("error", "lost"):
            sums.errors += 1
        elif draft.status == "refused":
            sums.refused += 1
        elif draft.status == "ok" and draft.kind in _CALLS and draft.duration_ms is not None:
            hour = draft.at - draft.at % HOUR_NS
            self.latencies[hour, draft.model or "", bucket_of(draft.duration_ms)] += 1

    def _sums(self, draft: PendingSpan) -> Sums:
        return self.sums[
            draft.at - draft.at % HOUR_NS,
            draft.counted_as or draft.model or "",
            draft.team or "",
            draft.key_id or "",
            draft.user or "",
            draft.target or "",
            draft.app or "",
            draft.kind,
        ]

    def _charge(self, key: tuple[str, int], cost: int) -> None:
        """Close a hold. What it cost moves from leased to settled; what exceeds the hold was
        never leased and is settled on top."""
        hold = self.holds.pop(key, None)
        if hold is None:
            return
        if hold.stored:
            self.closed.append(key)
        for lease_id in hold.leases:
            lease = self.leases.get(lease_id)
            if lease is not None and lease.holder == hold.holder:
                lease.settled += cost
                lease.take(min(cost, hold.amount))
        if self.beside and cost:
            self._charge_beside(self.drafts[key[0]], hold, cost)

    def _charge_beside(self, draft: PendingSpan, hold: Hold, cost: int) -> None:
        """Count a call in windows that were opened after it had begun."""
        held = {self.leases[number].window for number in hold.leases if number in self.leases}
        for one in self.beside:
            if one.window not in held and one.counts(
                draft.at,
                team=draft.team,
                user=draft.user,
                key_id=draft.key_id,
                models=(draft.model, draft.target),
                app=draft.app,
            ):
                self.settled_beside[one.window] += cost

    def _give_back(self, holder: str, lease_id: int, amount: int) -> None:
        lease = self.leases.get(lease_id)
        if lease is not None and lease.holder == holder:
            lease.take(amount)
