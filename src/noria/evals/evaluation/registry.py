"""The evaluations that were made on this home, wherever their folders are."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import select, text

from noria.errors import NotFound
from noria.evals.evaluation.folder import Folder
from noria.evals.evaluation.report import Report
from noria.store import Database
from noria.store.tables.evals import evaluations

__all__ = ["Registered", "find_evaluation", "list_evaluations", "register"]


@dataclass(frozen=True, slots=True)
class Registered:
    """An evaluation as the list shows it."""

    id: str
    at: int
    """When it was last reported on, in UTC nanoseconds since the epoch."""
    folder: Path
    questions: str
    judge: str | None
    baseline: str | None
    lines: list[dict[str, Any]]
    """For each contestant its name, answers, and score with its bounds, the best first."""

    @property
    def there(self) -> bool:
        """Whether the folder is still where it was."""
        return (self.folder / "evaluation.json").is_file()


def register(db: Database, folder: Folder, report: Report) -> None:
    """Put an evaluation, as it stands, on the list."""
    path = str(folder.path.resolve())
    judge = folder.manifest.get("judge") or {}
    summary = {
        "questions": folder.manifest.get("questions"),
        "judge": judge.get("model"),
        "baseline": report.baseline,
        "lines": [
            {
                "contestant": line.contestant,
                "answered": line.answered,
                "score": line.score and [line.score.value, line.score.lower, line.score.upper],
                "checks": {
                    name: [one.value, one.lower, one.upper] for name, one in line.checks.items()
                },
            }
            for line in report.lines
        ],
    }
    with db.write() as connection:
        connection.execute(
            text(
                "INSERT INTO evaluations (name, at, folder, app, summary)"
                " VALUES (:name, :at, :folder, NULL, :summary)"
                " ON CONFLICT (name) DO UPDATE SET at = excluded.at, summary = excluded.summary"
            ),
            {
                "name": hashlib.sha256(path.encode()).hexdigest()[:16],
                "at": time.time_ns(),
                "folder": path,
                "summary": orjson.dumps(summary).decode(),
            },
        )


def list_evaluations(db: Database, limit: int = 100) -> list[Registered]:
    """The newest evaluations."""
    query = select(evaluations).order_by(evaluations.c.at.desc()).limit(limit)
    with db.read() as connection:
        return [_registered(row) for row in connection.execute(query)]


def find_evaluation(db: Database, identity: str) -> Registered:
    """An evaluation by its id.

    Raises:
        NotFound: there is none.
    """
    query = select(evaluations).where(evaluations.c.name == identity)
    with db.read() as connection:
        row = connection.execute(query).first()
    if row is None:
        raise NotFound(f"There is no evaluation {identity}.", "The list of evaluations has them.")
    return _registered(row)


def _registered(row: Any) -> Registered:
    summary = orjson.loads(row.summary)
    return Registered(
        row.name,
        row.at,
        Path(row.folder),
        summary["questions"] or "",
        summary["judge"],
        summary["baseline"],
        summary["lines"],
    )
