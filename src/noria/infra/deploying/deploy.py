"""Deploying, and what may follow: canary, promotion, rollback, destruction. Each is written to the
audit log with what it was decided on, and may be asked for again where it was cut off."""

from __future__ import annotations

import fcntl
import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from noria.config import Config
from noria.errors import NoriaError, NotFound, StoreUnavailable
from noria.infra.deploying.canary import begin_evidence, observe, outlook
from noria.infra.deploying.gate import Judged, judge_revision
from noria.infra.deploying.records import (
    Deployment,
    decide,
    find_deployment,
    list_deployments,
    remember,
    set_deployment,
)
from noria.infra.deploying.release import Release, make_release
from noria.infra.deploying.revision import Revision, revision_of
from noria.infra.deploying.targets import place_of
from noria.infra.deploying.targets.base import Place, Standing
from noria.infra.deploying.targets.local import LocalPlace
from noria.infra.deploying.wires import wires_of
from noria.store import Database

__all__ = ["Outcome", "Refused", "deploy", "destroy", "look_at_canaries", "promote", "roll_back"]

_ITSELF = "noria"


class Refused(NoriaError):
    """The evidence does not let it be deployed."""

    def __init__(self, judged: Judged, remedy: str) -> None:
        rows = [f"{one.check} fell on: {', '.join(one.rows)}" for one in judged.regressions]
        super().__init__("\n".join([judged.reason, *rows, *judged.notes]), remedy)
        self.judged = judged


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done."""

    revision: Revision
    standing: Standing
    judged: Judged
    folder: Path

    def as_json(self) -> dict[str, Any]:
        """As `noria deploy --json` prints it."""
        return {
            "revision": self.revision.id,
            "apps": list(self.revision.apps),
            "gate": self.judged.as_json(),
            "folder": str(self.folder),
            **self.standing.as_json(),
        }


def deploy(
    config: Config,
    db: Database,
    file: Path,
    target: str,
    *,
    canary: float | None = None,
    unproven: str | None = None,
) -> Outcome:
    """Bring an application's file, as it stands, to a target.

    Args:
        config: the configuration.
        db: the home's database.
        file: the file.
        target: the target's name.
        canary: the share of the conversations that the revision gets at first; None: all.
        unproven: why it may be deployed though it was not evaluated; no help against evidence.

    Raises:
        Refused: the evidence speaks against it, or nothing speaks for it.
        NoriaError: it could not be brought there; what served before still does.
        StoreUnavailable: the database is away; the same command goes on later.
    """
    with _acting(config):
        place = place_of(config, target)
        if canary is not None and not place.splits:
            raise NoriaError(
                f"{target} is {place.target.kind}: this home's door cannot send it a share.",
                "Try it as a canary on a local target, or deploy it whole.",
            )
        revision = revision_of(file, config, db)
        remember(db, revision)
        known = [find_deployment(db, target, app) for app in revision.apps]
        for one in known:
            if one is not None and one.canary not in (None, revision.id):
                raise NoriaError(
                    f"The canary {one.canary} of {one.app} still runs on {target}.",
                    f"First: noria deploy promote {one.app} --on {target}, or rollback.",
                )
        before = known[0]
        live = None if before is None else before.revision
        judged = _gate(db, revision, target, live, file, unproven)
        release = make_release(revision, file, target, place.target, config, _models(revision))
        if canary is not None and live not in (None, revision.id):
            return _begin_canary(db, place, release, canary, judged)
        return _bring(db, place, release, judged, action="deploy", actor=_person())


def promote(config: Config, db: Database, app: str, target: str) -> Standing:
    """Let a canary answer everything, on a person's word.

    Raises:
        NotFound: no canary runs.
    """
    with _acting(config):
        known = _known(db, app, target)
        if known.canary is None:
            raise NotFound(f"No canary of {app} runs on {target}.")
        evidence = known.evidence
        figures = outlook(evidence).figures if evidence else {}
        return _promote(config, db, known, _person(), "a person decided", figures)


def roll_back(config: Config, db: Database, app: str, target: str) -> Standing:
    """Take a canary back; without one, go back to the revision before.

    Raises:
        NotFound: there is nothing to go back to.
    """
    with _acting(config):
        known = _known(db, app, target)
        if known.canary is not None:
            figures = outlook(known.evidence).figures if known.evidence else {}
            return _end_canary(config, db, known, _person(), "a person decided", figures)
        if known.previous is None:
            raise NotFound(f"{app} on {target} has no revision before {known.revision}.")
        release = _release(config, target, known.previous)
        place = place_of(config, target)
        judged = Judged(True, f"Back from {known.revision}.")
        return _bring(db, place, release, judged, action="rollback", actor=_person()).standing


def destroy(config: Config, db: Database, app: str, target: str) -> None:
    """Take an application away from a target; its revisions stay known.

    Raises:
        NotFound: it is not there.
    """
    with _acting(config):
        known = _known(db, app, target)
        place_of(config, target).destroy(app)
        decide(
            db, target, app, known.revision or known.pending or "", action="destroy",
            outcome="done", actor=_person(), reason="a person decided",
            changed={"state": "destroyed", "canary": None, "share": None, "evidence": None,
                     "pending": None, "revision": None, "previous": known.revision},
        )  # fmt: skip


def look_at_canaries(config: Config, db: Database) -> None:
    """Look at the evidence of every canary, and act on what it decides."""
    for known in list_deployments(db):
        if known.canary is None or known.revision is None or known.evidence is None:
            continue
        with _acting(config):
            now = find_deployment(db, known.target, known.app)
            if now is None or now.canary != known.canary or now.evidence is None:
                continue
            place = place_of(config, now.target)
            standing = place.status(now.app, known.canary)
            if standing.state == "failed":
                _end_canary(config, db, now, _ITSELF, f"it cannot serve: {standing.detail}", {})
                continue
            evidence = observe(db, now.app, known.revision, known.canary, now.evidence)
            said = outlook(evidence)
            if said.action is None:
                if evidence != now.evidence:
                    set_deployment(db, now.target, now.app, evidence=evidence)
            elif said.action == "promote":
                _promote(config, db, now, _ITSELF, said.reason, said.figures)
            else:
                _end_canary(config, db, now, _ITSELF, said.reason, said.figures)


def _gate(
    db: Database, revision: Revision, target: str, live: str | None, file: Path,
    unproven: str | None,
) -> Judged:  # fmt: skip
    judged = judge_revision(db, revision.id, live)
    if judged.passed:
        return judged
    if judged.lacking and unproven:
        return Judged(
            True, f"{judged.reason} Deployed all the same: {unproven}", notes=judged.notes
        )
    for app in revision.apps:
        decide(
            db, target, app, revision.id, action="deploy", outcome="refused", actor=_ITSELF,
            reason=judged.reason, figures=judged.as_json(),
        )  # fmt: skip
    remedy = f"Evaluate it: noria eval gate {file} --data ROWS.jsonl --save NAME"
    if judged.lacking:
        remedy += "; or say why it may go without: --unproven REASON"
    raise Refused(judged, remedy)


def _bring(
    db: Database, place: Place, release: Release, judged: Judged, *, action: str, actor: str
) -> Outcome:
    """Apply a release and note how it came out. That it is on its way is noted first."""
    revision = release.revision
    before = {app: find_deployment(db, place.name, app) for app in revision.apps}
    for app in revision.apps:
        set_deployment(db, place.name, app, pending=revision.id, state="deploying", error=None)
    try:
        standing = place.apply(release)
    except NoriaError as failed:
        for app in revision.apps:
            was = before[app]
            serves = was is not None and was.revision is not None
            decide(
                db, place.name, app, revision.id, action=action, outcome="failed", actor=actor,
                reason=failed.message,
                changed={"state": was.state if serves and was else "failed", "pending": None,
                         "error": failed.message},
            )  # fmt: skip
        raise
    state = "written" if standing.state == "written" else "live"
    for app in revision.apps:
        was = before[app]
        live = None if was is None else was.revision
        previous = live if live != revision.id else was.previous if was else None
        try:
            decide(
                db, place.name, app, revision.id, action=action, outcome="done", actor=actor,
                reason=judged.reason, figures=judged.as_json(),
                changed={"revision": revision.id, "previous": previous, "canary": None,
                         "share": None, "evidence": None, "pending": None, "state": state,
                         "address": standing.address, "error": None},
            )  # fmt: skip
        except StoreUnavailable as away:
            raise StoreUnavailable(
                f"{revision.id} is on {place.name}, and that could not be noted: {away.message}",
                "Give the same command again once the database answers.",
            ) from None
    return Outcome(revision, standing, judged, release.folder)


def _begin_canary(
    db: Database, place: Place, release: Release, share: float, judged: Judged
) -> Outcome:
    assert isinstance(place, LocalPlace)
    revision = release.revision
    checks = _checks(release)
    for app in revision.apps:
        evidence = begin_evidence(db, app, checks.get(app, []), share)
        decide(
            db, place.name, app, revision.id, action="canary", outcome="done", actor=_person(),
            reason=judged.reason, figures=judged.as_json() | {"share": share},
            changed={"canary": revision.id, "share": share, "evidence": evidence,
                     "state": "canary", "pending": None, "error": None},
        )  # fmt: skip
        place.share(app, release, share)
    return Outcome(revision, place.status(release.app, revision.id), judged, release.folder)


def _promote(
    config: Config, db: Database, known: Deployment, actor: str, reason: str,
    figures: dict[str, Any],
) -> Standing:  # fmt: skip
    assert known.canary is not None
    standing = place_of(config, known.target).apply(_release(config, known.target, known.canary))
    decide(
        db, known.target, known.app, known.canary, action="promote", outcome="done", actor=actor,
        reason=reason, figures=figures,
        changed={"revision": known.canary, "previous": known.revision, "canary": None,
                 "share": None, "evidence": None, "state": "live"},
    )  # fmt: skip
    return standing


def _end_canary(
    config: Config, db: Database, known: Deployment, actor: str, reason: str,
    figures: dict[str, Any],
) -> Standing:  # fmt: skip
    place = place_of(config, known.target)
    assert isinstance(place, LocalPlace)
    assert known.canary is not None
    place.share(known.app, None, 0.0)
    decide(
        db, known.target, known.app, known.canary, action="rollback", outcome="done", actor=actor,
        reason=reason, figures=figures,
        changed={"canary": None, "share": None, "evidence": None, "state": "live"},
    )  # fmt: skip
    return place.status(known.app, known.revision or "")


def _known(db: Database, app: str, target: str) -> Deployment:
    known = find_deployment(db, target, app)
    if known is None or known.state == "destroyed":
        raise NotFound(f"{app} is not deployed on {target}.", "See: noria deploy ls")
    return known


def _release(config: Config, target: str, revision: str) -> Release:
    """A release that was made before, from its files."""
    place = place_of(config, target)
    folder = config.home / "deployments" / target / revision
    try:
        told = orjson.loads((folder / "revision.json").read_bytes())
    except (OSError, ValueError):
        raise NotFound(
            f"The files of revision {revision} are not in this home any more.",
            "Deploy its file again.",
        ) from None
    known = Revision(told["digest"], told["file"], tuple(told["apps"]), told["parts"])
    wires = wires_of(target, place.target, config, revision)
    return Release(known, target, place.target, wires, folder)


def _models(revision: Revision) -> list[str]:
    return [name for name in revision.parts["models"] if not name.endswith(" (promoted)")]


def _checks(release: Release) -> dict[str, list[str]]:
    from noria.apps.declare.app import declared

    return {
        app.name: [check.name for check in app.checks]
        for app in declared
        if app.name in release.revision.apps
    }


def _person() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


@contextmanager
def _acting(config: Config) -> Iterator[None]:
    """One at a time in this home: a person and the evidence may decide in the same moment."""
    config.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (config.home / "deploy.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
