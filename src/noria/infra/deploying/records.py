"""What the database keeps of revisions and deployments, and the audit log of what was decided."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, delete, select, text, update

from noria.errors import NotFound
from noria.ids import new_span_id
from noria.infra.deploying.revision import Revision
from noria.store import Database
from noria.store.tables.growth import (
    deployment_decisions,
    deployments,
    revision_evaluations,
    revisions,
)

__all__ = [
    "Audited",
    "Deployment",
    "decide",
    "decisions",
    "evaluated",
    "find_deployment",
    "find_revision",
    "list_deployments",
    "note_evaluation",
    "remember",
    "set_deployment",
]


@dataclass(frozen=True, slots=True)
class Deployment:
    """An application on a target."""

    target: str
    app: str
    revision: str | None
    previous: str | None
    canary: str | None
    share: float | None
    evidence: dict[str, Any] | None
    pending: str | None
    state: str
    address: str | None
    error: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Audited:
    """A line of the audit log."""

    id: str
    at: int
    target: str
    app: str
    revision: str
    action: str
    outcome: str
    actor: str
    reason: str
    figures: dict[str, Any]


def remember(db: Database, revision: Revision) -> None:
    """Keep a revision; one that is known stays as it is."""
    with db.write() as connection:
        connection.execute(
            text(
                "INSERT INTO revisions (id, digest, at, file, apps, parts)"
                " VALUES (:id, :digest, :at, :file, :apps, :parts) ON CONFLICT (id) DO NOTHING"
            ),
            {
                "id": revision.id,
                "digest": revision.digest,
                "at": time.time_ns(),
                "file": revision.file,
                "apps": orjson.dumps(revision.apps).decode(),
                "parts": orjson.dumps(revision.parts).decode(),
            },
        )


def find_revision(db: Database, name: str) -> Revision:
    """Find a revision by its id or the beginning of it.

    Raises:
        NotFound: there is none, or more than one.
    """
    with db.read() as connection:
        query = select(revisions).where(revisions.c.id.startswith(name, autoescape=True)).limit(2)
        rows = connection.execute(query).all()
    if not name or len(rows) != 1:
        why = "is the beginning of more than one" if len(rows) > 1 and name else "is no"
        raise NotFound(f"{name!r} {why} revision.", "See them with: noria deploy ls")
    row = rows[0]
    return Revision(row.digest, row.file, tuple(orjson.loads(row.apps)), orjson.loads(row.parts))


def note_evaluation(db: Database, revision: str, folder: str, contestant: str) -> None:
    """Note that an evaluation asked a revision."""
    with db.write() as connection:
        connection.execute(
            text(
                "INSERT INTO revision_evaluations (revision, folder, contestant, at)"
                " VALUES (:revision, :folder, :contestant, :at) ON CONFLICT (revision, folder)"
                " DO UPDATE SET at = excluded.at, contestant = excluded.contestant"
            ),
            {"revision": revision, "folder": folder, "contestant": contestant,
             "at": time.time_ns()},
        )  # fmt: skip
        # What stood in this folder before is gone with it.
        connection.execute(
            delete(revision_evaluations).where(
                revision_evaluations.c.folder == folder,
                revision_evaluations.c.revision != revision,
            )
        )


def evaluated(db: Database, revision: str) -> tuple[str, str] | None:
    """The folder and contestant of a revision's last evaluation; None without one."""
    table = revision_evaluations
    query = select(table.c.folder, table.c.contestant).where(table.c.revision == revision)
    with db.read() as connection:
        row = connection.execute(query.order_by(table.c.at.desc()).limit(1)).first()
    return None if row is None else (row.folder, row.contestant)


def list_deployments(db: Database) -> list[Deployment]:
    """Every deployment, by target and application."""
    query = select(deployments).order_by(deployments.c.target, deployments.c.app)
    with db.read() as connection:
        return [_deployment(row) for row in connection.execute(query)]


def find_deployment(db: Database, target: str, app: str) -> Deployment | None:
    """What is known of an application on a target."""
    query = select(deployments).where(deployments.c.target == target, deployments.c.app == app)
    with db.read() as connection:
        row = connection.execute(query).first()
    return None if row is None else _deployment(row)


def set_deployment(db: Database, target: str, app: str, **changed: Any) -> None:
    """Change what is known of an application on a target, and make its row if there is none."""
    with db.write() as connection:
        _set(connection, target, app, changed)


def decide(
    db: Database,
    target: str,
    app: str,
    revision: str,
    *,
    action: str,
    outcome: str,
    actor: str,
    reason: str,
    figures: Mapping[str, Any] | None = None,
    changed: Mapping[str, Any] | None = None,
) -> None:
    """Write a line of the audit log, in one transaction with what it changes.

    Args:
        db: the home's database.
        target: where.
        app: what.
        revision: the revision that it is about.
        action: deploy, canary, promote, rollback or destroy.
        outcome: done, refused or failed.
        actor: who decided.
        reason: why, in words.
        figures: what it was decided on.
        changed: columns of the deployment that it sets.
    """
    with db.write() as connection:
        if changed is not None:
            _set(connection, target, app, changed)
        connection.execute(
            deployment_decisions.insert(),
            {
                "id": new_span_id(), "at": time.time_ns(), "target": target, "app": app,
                "revision": revision, "action": action, "outcome": outcome, "actor": actor,
                "reason": reason, "figures": orjson.dumps(figures or {}).decode(),
            },
        )  # fmt: skip


def decisions(
    db: Database, target: str | None = None, app: str | None = None, limit: int = 100
) -> list[Audited]:
    """The newest lines of the audit log."""
    table = deployment_decisions
    query = select(table).order_by(table.c.at.desc()).limit(limit)
    if target is not None:
        query = query.where(table.c.target == target)
    if app is not None:
        query = query.where(table.c.app == app)
    with db.read() as connection:
        return [
            Audited(**(dict(row._mapping) | {"figures": orjson.loads(row.figures)}))
            for row in connection.execute(query)
        ]


def _set(connection: Connection, target: str, app: str, changed: Mapping[str, Any]) -> None:
    values: dict[str, Any] = {"at": time.time_ns(), **changed}
    if isinstance(values.get("evidence"), dict):
        values["evidence"] = orjson.dumps(values["evidence"]).decode()
    connection.execute(
        text(
            "INSERT INTO deployments (target, app, state, at) VALUES (:target, :app, 'deploying',"
            " :at) ON CONFLICT (target, app) DO NOTHING"
        ),
        {"target": target, "app": app, "at": values["at"]},
    )
    here = (deployments.c.target == target) & (deployments.c.app == app)
    connection.execute(update(deployments).where(here).values(**values))


def _deployment(row: Any) -> Deployment:
    values = dict(row._mapping)
    values["evidence"] = orjson.loads(values["evidence"]) if values["evidence"] else None
    return Deployment(**values)
