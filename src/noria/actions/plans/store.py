"""Plans by id and by hash."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row, insert, or_, select

from noria.actions.plan import Plan
from noria.actions.plans.content import plan_from, plan_text
from noria.actions.plans.person import Person
from noria.errors import NoriaError, NotFound
from noria.store.database import Database
from noria.store.tables.actions import action_plans

__all__ = ["StoredPlan", "find_plan", "list_plans", "person_values", "save_plan"]

_SHORTEST_HASH = 8


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan, who has asked for it, and when."""

    plan: Plan
    planner: Person
    at_ns: int
    parent: str | None = None


def save_plan(
    db: Database, plan: Plan, planner: Person, *, parent: str | None = None, at_ns: int = 0
) -> StoredPlan:
    """Keep a plan for ever, as it is.

    Raises:
        NoriaError: another plan has its id.
    """
    at_ns = at_ns or time.time_ns()
    with db.write() as connection:
        known = connection.execute(
            select(action_plans.c.hash).where(action_plans.c.id == plan.id)
        ).scalar()
        if known is not None and known != plan.hash:
            raise NoriaError(f"There is another plan {plan.id} already; plans never change.")
        if known is None:
            connection.execute(
                insert(action_plans).values(
                    id=plan.id,
                    hash=plan.hash,
                    at=at_ns,
                    parent=parent,
                    app=planner.app,
                    content=plan_text(plan),
                    **person_values(planner),
                )
            )
    return StoredPlan(plan, planner, at_ns, parent)


def find_plan(db: Database, name: str) -> StoredPlan:
    """A plan by its id, its hash or the beginning of it, or `ID.NUMBER` for an alternative.

    Raises:
        NotFound: there is none, or there are several.
        NoriaError: its content is not what was hashed.
    """
    with db.read() as connection:
        rows = _rows(connection, name)
        number = ""
        if not rows and "." in name:
            base, _, number = name.rpartition(".")
            rows = _rows(connection, base) if number.isdigit() else []
    if len(rows) != 1:
        found = "Several plans begin with" if rows else "There is no plan"
        raise NotFound(f"{found} {name!r}.", "noria act ls lists them.")
    stored = _stored(rows[0])
    if not number:
        return stored
    try:
        chosen = stored.plan.alternative(int(number))
    except IndexError as missing:
        raise NotFound(f"{missing}.", f"noria act show {stored.plan.id} lists them.") from None
    return StoredPlan(chosen, stored.planner, stored.at_ns, stored.plan.id)


def list_plans(db: Database, *, limit: int = 50, person: str | None = None) -> list[StoredPlan]:
    """The newest plans first; those of one person where he is named."""
    query = select(action_plans).order_by(action_plans.c.at.desc()).limit(limit)
    if person is not None:
        query = query.where(action_plans.c.person == person)
    with db.read() as connection:
        return [_stored(row) for row in connection.execute(query)]


def person_values(person: Person) -> dict[str, Any]:
    """A person as the columns of a row."""
    return {
        "key_id": person.key_id,
        "person": person.name,
        "team": person.team,
        "user": person.user,
        "groups": orjson.dumps(sorted(person.groups)).decode(),
        "admin": person.admin,
    }


def _rows(connection: Connection, name: str) -> list[Row[Any]]:
    same = action_plans.c.id == name
    if len(name) >= _SHORTEST_HASH:
        same = or_(same, action_plans.c.hash.startswith(name, autoescape=True))
    return list(connection.execute(select(action_plans).where(same).limit(2)))


def _stored(row: Row[Any]) -> StoredPlan:
    try:
        plan = plan_from(row.id, row.content)
        if plan.hash != row.hash:
            raise ValueError("its hash is another one")
    except ValueError as wrong:
        raise NoriaError(
            f"The plan {row.id} was changed after it was made: {wrong}.",
            "It cannot be signed or carried out; make a new one.",
        ) from None
    groups = frozenset(orjson.loads(row.groups))
    planner = Person(row.person, row.key_id, row.team, row.user, groups, row.admin, row.app)
    return StoredPlan(plan, planner, row.at, row.parent)
