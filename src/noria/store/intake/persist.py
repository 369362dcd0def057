"""Loads a `Ledger` from the tables and writes it back, in the caller's transaction."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable
from operator import attrgetter
from typing import Any

import orjson
from sqlalchemy import Connection, text

from noria.store.budgets.windows import opened_since
from noria.store.bulk_sql import insert_many, run_many, select_in
from noria.store.intake.assembling import Assemble
from noria.store.intake.compression import Bodies, compress
from noria.store.intake.derived import post_evidence
from noria.store.intake.ledger import Hold, Lease, Ledger, PendingSpan
from noria.store.intake.rollups import grains
from noria.store.traces.exports import post_exports

__all__ = ["SSE", "load", "post"]

log = logging.getLogger("noria.store")

SSE = "text/event-stream"
"""The media type of a recorded stream that could not be put together."""

_BEGUN = (
    "at", "id", "trace_id", "parent_id", "kind", "name", "model", "key_id", "team", "user", "app",
    "stream", "holder",
)  # fmt: skip
_CHANGING = (
    "status", "target", "attempts", "duration_ms", "ttft_ms", "input_tokens", "output_tokens",
    "cached_tokens", "reasoning_tokens", "cost_nano", "overrun", "uncertain_nano",
    "error_code", "error",
)  # fmt: skip
_COLUMNS = (*_BEGUN, *_CHANGING)
_insert_row = attrgetter(*_COLUMNS)
_update_row = attrgetter(*_CHANGING)
_LOAD = f"""
    SELECT {", ".join(f's."{column}"' for column in _COLUMNS)}, p.at IS NOT NULL
    FROM spans s LEFT JOIN payloads p ON p.at = s.at WHERE s.id IN ?"""  # noqa: S608
_UPDATE = f"""
    UPDATE spans SET {", ".join(f"{column} = ?" for column in _CHANGING)}, attributes = ?
    WHERE at = ?"""  # noqa: S608
# What a client told under an id that noria gives a span of its own gives way to that.
_TAKE_PLACE = (
    "(id) DO UPDATE SET "
    + ", ".join(f'"{column}" = excluded."{column}"' for column in (*_COLUMNS, "attributes"))
    + " WHERE spans.holder IS NULL AND excluded.holder IS NOT NULL"
)
_SUMS = (
    "calls", "errors", "refused", "input_tokens", "output_tokens", "cached_tokens",
    "reasoning_tokens", "cost_nano", "uncertain_nano",
)  # fmt: skip
_sums = attrgetter(*_SUMS)
_GROUP = ("grain", "start_ns", "model", "team", "key_id", "user", "target", "app", "kind")
_ADD_SUMS = (
    '(grain, start_ns, model, team, key_id, "user", target, app, kind) DO UPDATE SET '
    + ", ".join(f"{column} = rollups.{column} + excluded.{column}" for column in _SUMS)
)
_ADD_CALLS = (
    "(grain, start_ns, model, bucket) DO UPDATE SET calls = latencies.calls + excluded.calls"
)


def load(
    connection: Connection,
    span_ids: Collection[str],
    lease_ids: Iterable[int],
    told: Collection[str] = (),
    earliest: int | None = None,
) -> Ledger:
    """A ledger with the stored spans of these ids, their holds, and the leases concerned; which of
    the spans that clients tell of are known; and the windows that were opened since the `earliest`
    of the calls (in nanoseconds) began."""
    ledger = Ledger()
    ledger.known.update(
        row.id for row in select_in(connection, "SELECT id FROM spans WHERE id IN ?", told)
    )
    for row in select_in(connection, _LOAD, span_ids):
        values: dict[str, Any] = dict(zip(_COLUMNS, row[:-1], strict=True))
        draft = PendingSpan(**values, content=bool(row[-1]), stored=True)
        ledger.drafts[draft.id] = draft
        earliest = draft.at if earliest is None else min(earliest, draft.at)
    if earliest is not None:
        ledger.beside = opened_since(connection, earliest)
    leases = set(lease_ids)
    for row in select_in(
        connection,
        "SELECT span_id, attempt, at, holder, hold_nano, leases FROM holds WHERE span_id IN ?",
        span_ids,
    ):
        ids = orjson.loads(row.leases)
        leases.update(ids)
        ledger.holds[row.span_id, row.attempt] = Hold(
            row.at, row.holder, row.hold_nano, ids, stored=True
        )
    for row in select_in(
        connection,
        "SELECT id, holder, budget_id, start_ns, remaining_nano FROM leases WHERE id IN ?",
        leases,
    ):
        ledger.leases[row.id] = Lease(row.holder, (row.budget_id, row.start_ns), row.remaining_nano)
    return ledger


def post(connection: Connection, ledger: Ledger, assemble: Assemble) -> dict[int, Bodies]:
    """Write all that a ledger holds.

    Returns:
        The bodies of the spans that this batch holds from their beginning to their end, by
        instant, for the index of texts.
    """
    bodies = _post_spans(connection, ledger, assemble)
    _post_holds(connection, ledger)
    _post_money(connection, ledger)
    _post_sums(connection, ledger)
    return bodies


def _post_spans(connection: Connection, ledger: Ledger, assemble: Assemble) -> dict[int, Bodies]:
    new = [draft for draft in ledger.drafts.values() if not draft.stored]
    _place(connection, ledger, new)
    insert_many(
        connection,
        "spans",
        (*_COLUMNS, "attributes"),
        [(*_insert_row(draft), _attributes(draft)) for draft in new],
        _TAKE_PLACE,
    )
    run_many(
        connection,
        _UPDATE,
        [
            (*_update_row(draft), _attributes(draft), draft.at)
            for draft in ledger.drafts.values()
            if draft.stored
        ],
    )
    payloads, queue, bodies = [], [], {}
    for draft in ledger.drafts.values():
        response, media = draft.response, None
        if draft.content and (draft.request or response):
            if draft.dialect and draft.request:
                draft.request = _in_chat(draft, draft.request, draft.dialect, "request", assemble)
            if draft.sse and response:
                response, media = _assembled(draft, response, assemble)
            elif draft.wire and response:
                response = _in_chat(draft, response, draft.wire, "reply", assemble)
            payloads.append((draft.at, compress(draft.request), compress(response), media))
        if draft.ended and draft.content:
            queue.append((draft.at,))
            if not draft.stored:
                bodies[draft.at] = (draft.request, response)
    insert_many(
        connection,
        "payloads",
        ("at", "request", "response", "response_media"),
        payloads,
        "(at) DO UPDATE SET response = excluded.response, response_media = excluded.response_media",
    )
    insert_many(connection, "text_queue", ("at",), queue)
    post_evidence(connection, ledger.drafts.values())
    post_exports(connection, ledger.drafts.values())
    return bodies


_NEAR_NS = 16
"""How far from its instant a place for a span is looked for first, where that is taken."""


def _last_within(connection: Connection, at: int, within: int) -> int:
    """The last instant that is taken, up to so many nanoseconds after one; that one if none is."""
    query = text("SELECT max(at) FROM spans WHERE at >= :first AND at < :end")
    found = connection.execute(query, {"first": at, "end": at + within}).scalar()
    return at if found is None else int(found)


def _place(connection: Connection, ledger: Ledger, drafts: list[PendingSpan]) -> None:
    """Give each new span an instant of its own, some nanoseconds later where one is taken."""
    begun = {draft.id: draft.at for draft in drafts}
    drafts.sort(key=attrgetter("at", "id"))
    latest = 0
    for draft in drafts:
        latest = draft.at = max(draft.at, latest + 1)
    taken = {draft.at for draft in drafts}
    unplaced, within = drafts, _NEAR_NS
    while unplaced:
        stored = select_in(
            connection, "SELECT at FROM spans WHERE at IN ?", [draft.at for draft in unplaced]
        )
        clashes = {row.at for row in stored}
        unplaced = [draft for draft in unplaced if draft.at in clashes]
        # A client can fill up any instants. What clashes goes behind all that is stored near it,
        # and what is near grows with each round, so that the rounds are few.
        ends = {at: _last_within(connection, at, within) for at in {begun[d.id] for d in unplaced}}
        within *= 16
        latest = 0
        for draft in unplaced:
            latest = max(latest, ends[begun[draft.id]]) + 1
            while latest in taken:
                latest += 1
            draft.at = latest
            taken.add(latest)
    moved = {draft.id: draft.at for draft in drafts if draft.at != begun[draft.id]}
    if moved:
        for (span_id, _), hold in ledger.holds.items():
            hold.at = moved.get(span_id, hold.at)


def _post_holds(connection: Connection, ledger: Ledger) -> None:
    run_many(connection, "DELETE FROM holds WHERE span_id = ? AND attempt = ?", ledger.closed)
    run_many(
        connection,
        "UPDATE holds SET hold_nano = ? WHERE span_id = ? AND attempt = ?",
        [
            (ledger.holds[key].amount, *key)
            for key in sorted(ledger.grown)
            if key in ledger.holds  # else it has been settled since
        ],
    )
    insert_many(
        connection,
        "holds",
        ("span_id", "attempt", "at", "holder", "hold_nano", "leases"),
        [
            (*key, hold.at, hold.holder, hold.amount, orjson.dumps(hold.leases).decode())
            for key, hold in ledger.holds.items()
            if not hold.stored
        ],
    )


def _post_money(connection: Connection, ledger: Ledger) -> None:
    # Windows before leases, and in order, as a grant takes them.
    windows: defaultdict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
    for lease in ledger.leases.values():
        if lease.settled or lease.taken:
            windows[lease.window][0] += lease.settled
            windows[lease.window][1] += lease.taken
    for window, cost in ledger.settled_beside.items():
        windows[window][0] += cost
    run_many(
        connection,
        "UPDATE budget_windows SET settled_nano = settled_nano + ?, leased_nano = leased_nano - ?"
        " WHERE budget_id = ? AND start_ns = ?",
        [(*moved, *window) for window, moved in sorted(windows.items())],
    )
    run_many(
        connection,
        "UPDATE leases SET remaining_nano = remaining_nano - ? WHERE id = ?",
        [(lease.taken, number) for number, lease in sorted(ledger.leases.items()) if lease.taken],
    )


def _post_sums(connection: Connection, ledger: Ledger) -> None:
    sums: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * len(_SUMS))
    for (hour, *group), added in ledger.sums.items():
        for grain in grains(hour):
            total = sums[(*grain, *group)]
            for index, value in enumerate(_sums(added)):
                total[index] += value
    insert_many(
        connection,
        "rollups",
        (*_GROUP, *_SUMS),
        [(*group, *total) for group, total in sorted(sums.items())],
        _ADD_SUMS,
    )
    latencies: defaultdict[tuple[int, int, str, int], int] = defaultdict(int)
    for (begun, model, bucket), calls in ledger.latencies.items():
        for grain in grains(begun):
            latencies[(*grain, model, bucket)] += calls
    insert_many(
        connection,
        "latencies",
        ("grain", "start_ns", "model", "bucket", "calls"),
        [(*group, calls) for group, calls in sorted(latencies.items())],
        _ADD_CALLS,
    )


def _attributes(draft: PendingSpan) -> str | None:
    return orjson.dumps(draft.attributes).decode() if draft.attributes else None


def _assembled(draft: PendingSpan, stream: bytes, assemble: Assemble) -> tuple[bytes, str | None]:
    try:
        return assemble(stream, draft.wire or "chat"), None
    except Exception:
        log.exception("The recorded stream of span %s is kept as it came.", draft.id)
        return stream, SSE


def _in_chat(draft: PendingSpan, body: bytes, wire: str, part: str, assemble: Assemble) -> bytes:
    """A body of another dialect in OpenAI's chat, in which all records are read."""
    try:
        return assemble(body, wire, part)
    except Exception:
        log.exception("The %s of span %s is kept as it came, in %s.", part, draft.id, wire)
        return body
