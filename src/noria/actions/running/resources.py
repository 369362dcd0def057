"""What runs have made: as it was last seen, since when, and what it has cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Row, select

from noria.actions.provider import Metering, Resource
from noria.store.database import Database, insert_into
from noria.store.tables.actions import action_resources

__all__ = ["Made", "cost_of", "note_ended", "note_seen", "resources_of"]


@dataclass(frozen=True, slots=True)
class Made:
    """Something that a run has made."""

    provider: str
    id: str
    plan_id: str
    call: int
    kind: str
    region: str
    state: str
    price_hour_nano: int
    begun_ns: int
    """By the provider's clock where it tells, else by ours."""
    ended_ns: int | None
    """By the same clock."""
    details: dict[str, Any]


def note_seen(
    db: Database, seen: Iterable[Resource], prices: Mapping[int, int], now_ns: int
) -> None:
    """Keep what was seen of runs.

    Args:
        db: the database.
        seen: resources with our tags.
        prices: for each call, the planned price of one resource, where the provider tells none.
        now_ns: when they were seen.
    """
    rows = []
    for resource in seen:
        details = resource.details
        call = int(resource.tags["noria:call"])
        price = details.get("price_hour_nano")
        ended = details.get("ended_ns")
        rows.append(
            {
                "provider": resource.provider,
                "id": resource.id,
                "plan_id": resource.tags["noria:plan"],
                "call": call,
                "kind": resource.kind,
                "region": resource.region,
                "state": resource.state,
                "price_hour_nano": prices.get(call, 0) if price is None else price,
                "begun_ns": details.get("begun_ns") or now_ns,
                "ended_ns": ended if resource.lives or ended else now_ns,
                "details": orjson.dumps(dict(details), default=str).decode(),
            }
        )
    if not rows:
        return
    with db.write() as connection:
        for row in rows:
            changing = {"state": row["state"]}  # the details stay as they were first seen
            if row["ended_ns"] is not None:
                changing["ended_ns"] = row["ended_ns"]
            connection.execute(
                insert_into(connection, action_resources)
                .values(**row)
                .on_conflict_do_update(
                    index_elements=[action_resources.c.provider, action_resources.c.id],
                    set_=changing,
                )
            )


def note_ended(db: Database, gone: Iterable[Made], now_ns: int) -> None:
    """Keep that some are gone, where nobody tells since when."""
    with db.write() as connection:
        for one in gone:
            connection.execute(
                action_resources.update()
                .where(
                    action_resources.c.provider == one.provider,
                    action_resources.c.id == one.id,
                    action_resources.c.ended_ns.is_(None),
                )
                .values(ended_ns=max(now_ns, one.begun_ns), state="terminated")
            )


def resources_of(db: Database, plan_id: str | None = None) -> list[Made]:
    """What a run has made, or what all have that has not ended."""
    query = select(action_resources).order_by(action_resources.c.begun_ns, action_resources.c.id)
    if plan_id is not None:
        query = query.where(action_resources.c.plan_id == plan_id)
    else:
        query = query.where(action_resources.c.ended_ns.is_(None))
    with db.read() as connection:
        return [_made(row) for row in connection.execute(query)]


def cost_of(made: Iterable[Made], meterings: Mapping[str, Metering], now_ns: int) -> int:
    """What they have cost until they ended, or until now, in nano-dollars."""
    return sum(
        meterings.get(one.provider, Metering()).cost(
            one.price_hour_nano, (now_ns if one.ended_ns is None else one.ended_ns) - one.begun_ns
        )
        for one in made
        if one.price_hour_nano
    )


def _made(row: Row[Any]) -> Made:
    return Made(
        row.provider, row.id, row.plan_id, row.call, row.kind, row.region, row.state,
        row.price_hour_nano, row.begun_ns, row.ended_ns, orjson.loads(row.details),
    )  # fmt: skip
