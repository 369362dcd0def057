"""Whether the evidence lets a revision be deployed: its last evaluation, held against that of the
revision that it would replace."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noria.errors import NoriaError
from noria.evals.evaluation.folder import Folder
from noria.evals.evaluation.regressions import Regression, differing, missing, regressions
from noria.evals.evaluation.results import Results, read_results
from noria.infra.deploying.records import evaluated
from noria.store import Database

__all__ = ["Judged", "judge_revision"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What the evidence says of a revision."""

    passed: bool
    reason: str
    lacking: bool = False
    """Nothing speaks against it: what would speak for it is wanting."""
    notes: list[str] = field(default_factory=list)
    regressions: list[Regression] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As the audit log keeps it."""
        return {
            "passed": self.passed,
            "reason": self.reason,
            "notes": self.notes,
            "regressions": [
                {
                    "check": one.check,
                    "before": list(one.before),
                    "now": list(one.now),
                    "corrected": one.corrected,
                    "beyond_noise": one.beyond_noise,
                    "rows": one.rows,
                }
                for one in self.regressions
            ],
        }


def judge_revision(db: Database, revision: str, live: str | None) -> Judged:
    """Ask a revision's last evaluation.

    Args:
        db: the home's database.
        revision: the id of what is to be deployed.
        live: the id of what it would replace; None where nothing is there.
    """
    if live == revision:
        live = None  # it replaces nothing but itself
    found = evaluated(db, revision)
    if found is None:
        if live is None:
            return Judged(True, "Nothing is replaced, and no evaluation speaks against it.")
        return Judged(False, f"Revision {revision} was never evaluated.", lacking=True)
    try:
        now = read_results(Folder.open(Path(found[0])))
        who = found[1]
        if objection := _unfinished(now, who):
            return Judged(False, objection, lacking=True)
        before_at = evaluated(db, live) if live is not None else None
        before = None if before_at is None else read_results(Folder.open(Path(before_at[0])))
        earlier = "" if before_at is None else before_at[1]
        lost = missing(before, earlier, now, who)
        if lost:
            told = "; ".join(f"{one.check} {one.why}" for one in lost)
            return Judged(False, f"A check says nothing, which is no pass: {told}.")
        if before is None:
            notes = [] if live is None else [
                f"Revision {live}, which is live, has no evaluation to compare with."
            ]  # fmt: skip
            return Judged(
                True, "Its checks were evaluated, and there is nothing to compare.", notes=notes
            )
        fallen = regressions(before, earlier, now, who)
        notes = differing(before, now)
    except NoriaError as unreadable:
        return Judged(False, f"Its evaluation cannot be used: {unreadable.message}", lacking=True)
    beyond = [one for one in fallen if one.beyond_noise]
    if beyond:
        told = "; ".join(
            f"{one.check} passed {one.before[0]:.4g} of {one.before[1]} rows before and "
            f"{one.now[0]:.4g} of {one.now[1]} now" for one in beyond
        )  # fmt: skip
        return Judged(False, f"It is worse beyond noise: {told}.", notes=notes, regressions=beyond)
    return Judged(True, "No check fell beyond noise.", notes=notes, regressions=fallen)


def _unfinished(now: Results, who: str) -> str | None:
    """Why an evaluation proves nothing: answers or looks are wanting."""
    if now.failed[who]:
        return f"{now.failed[who]} of its questions got no answer; evaluate it again."
    if now.unjudged[who]:
        return (
            f"Its judge has not looked at {now.unjudged[who]} answers: it may be down. Run the "
            "evaluation again, which goes on where it was."
        )
    if not now.answered[who]:
        return "Its evaluation has no answers."
    return None
