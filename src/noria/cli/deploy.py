"""`noria deploy`: applications on targets, refused or taken back where the evidence speaks against
them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from noria.cli._io.home import open_home
from noria.cli._io.output import AsJson, emit, iso, note, table

if TYPE_CHECKING:
    from noria.infra.deploying.records import Deployment

__all__ = ["app"]


class _FileFirst(TyperGroup):
    """A group whose first word may be a file of an application: `noria deploy app.py --to ...`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and args[0].endswith(".py"):
            args = ["file", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_FileFirst,
    help="Deploy applications to targets: noria deploy app.py --to TARGET.",
    no_args_is_help=True,
)
Target = Annotated[str, typer.Option("--on", help="The target.")]


@app.callback()
def _group() -> None:
    """Deploy applications to targets: noria deploy app.py --to TARGET."""


@app.command("file", hidden=True)
def deploy_file(
    file: Annotated[Path, typer.Argument(metavar="APP.PY", help="The file of the application.")],
    to: Annotated[
        str, typer.Option("--to", help="The target: [targets.NAME] of noria.toml, or a kind.")
    ],
    canary: Annotated[
        str | None,
        typer.Option(help="Give it this share of the conversations first, such as 5%."),
    ] = None,
    unproven: Annotated[
        str | None,
        typer.Option(help="Why it may be deployed though it was not evaluated; is recorded."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring an application's file, as it stands, to a target.

    Exits with 1 where the last evaluation of this very revision speaks against it.
    """
    from noria.infra.deploying.deploy import Refused, deploy

    share = None if canary is None else _share(canary)
    with open_home() as home:
        try:
            done = deploy(home.config, home.db, file, to, canary=share, unproven=unproven)
        except Refused as refused:
            if as_json:
                emit({"refused": True, "gate": refused.judged.as_json()})
                raise typer.Exit(1) from None
            raise
    if as_json:
        emit(done.as_json())
        return
    for text in (done.judged.reason, *done.judged.notes):
        note(text)
    where = done.standing.address or done.standing.detail
    what = f"a canary of {canary}" if share is not None else done.standing.state
    note(f"{', '.join(done.revision.apps)}, revision {done.revision.id}: {what} on {to}. {where}")


@app.command("ls")
def ls(as_json: AsJson = False) -> None:
    """List what is deployed where."""
    from noria.infra.deploying.records import list_deployments

    with open_home() as home:
        found = list_deployments(home.db)
    if as_json:
        emit([_row(one) for one in found])
        return
    table(
        ["target", "app", "revision", "canary", "state", "at"],
        (
            (
                one.target, one.app, one.revision or "",
                f"{one.canary} ({one.share:.0%})" if one.canary and one.share else "",
                _state(one), iso(one.at) or "",
            )
            for one in found
        ),
        empty="Nothing is deployed yet. Deploy: noria deploy app.py --to local",
    )  # fmt: skip


@app.command()
def status(
    application: Annotated[str, typer.Argument(metavar="APP", help="The application.")],
    on: Target = "local",
    as_json: AsJson = False,
) -> None:
    """Say how an application stands on a target, and what the evidence of its canary says."""
    from noria.infra.deploying.canary import outlook
    from noria.infra.deploying.records import decisions, find_deployment
    from noria.infra.deploying.targets import place_of

    with open_home() as home:
        known = find_deployment(home.db, on, application)
        if known is None:
            raise _unknown(application, on)
        place = place_of(home.config, on)
        standing = place.status(application, known.revision or known.pending or "")
        log = decisions(home.db, on, application, 10)
    said = outlook(known.evidence) if known.evidence else None
    if as_json:
        emit(
            _row(known)
            | {
                "standing": standing.as_json(),
                "evidence": None if said is None else said.figures,
                "outlook": None if said is None else said.reason,
                "decisions": [
                    {"at": iso(one.at), "action": one.action, "outcome": one.outcome,
                     "revision": one.revision, "actor": one.actor, "reason": one.reason,
                     "figures": one.figures}
                    for one in log
                ],
            }
        )  # fmt: skip
        return
    note(f"{application} on {on}: revision {known.revision}, {_state(known)}. {standing.detail}")
    if standing.address:
        note(standing.address)
    if said is not None:
        note(f"The canary {known.canary} gets {known.share:.0%}: {said.reason}.")
        table(
            ["measure", "verdict", ">effect", ">from", ">to", ">live", ">canary", ">more"],
            (
                (
                    name, one["verdict"], *(f"{value:+.3f}" for value in one["effect"]),
                    str(one["observations"]["live"]), str(one["observations"]["canary"]),
                    "" if one["more"] is None else f"{one['more']:,}",
                )
                for name, one in said.figures.items()
            ),
            empty="",
        )  # fmt: skip
    for one in log:
        note(f"{iso(one.at)}  {one.action} {one.outcome} by {one.actor}: {one.reason}")


@app.command()
def logs(
    application: Annotated[str, typer.Argument(metavar="APP", help="The application.")],
    on: Target = "local",
    lines: Annotated[int, typer.Option(min=1, help="How many of the last lines.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Print the end of what an application has said on a target."""
    from noria.infra.deploying.targets import place_of

    with open_home() as home:
        said = place_of(home.config, on).logs(application, lines)
    if as_json:
        emit({"lines": said.splitlines()})
    else:
        from noria.cli._io.output import printable

        typer.echo(printable(said))


@app.command()
def promote(
    application: Annotated[str, typer.Argument(metavar="APP", help="The application.")],
    on: Target = "local",
    as_json: AsJson = False,
) -> None:
    """Let the canary answer everything, whatever the evidence says by now."""
    from noria.infra.deploying.deploy import promote as act

    with open_home() as home:
        standing = act(home.config, home.db, application, on)
    _tell(f"The canary of {application} answers everything on {on} now.", standing, as_json)


@app.command()
def rollback(
    application: Annotated[str, typer.Argument(metavar="APP", help="The application.")],
    on: Target = "local",
    as_json: AsJson = False,
) -> None:
    """Take a canary back; without one, go back to the revision before."""
    from noria.infra.deploying.deploy import roll_back

    with open_home() as home:
        standing = roll_back(home.config, home.db, application, on)
    _tell(f"{application} was rolled back on {on}.", standing, as_json)


@app.command()
def destroy(
    application: Annotated[str, typer.Argument(metavar="APP", help="The application.")],
    on: Target = "local",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take an application away from a target. Its revisions and records stay."""
    from noria.infra.deploying.deploy import destroy as act

    if not yes:
        typer.confirm(f"Take {application} away from {on}?", abort=True, err=True)
    with open_home() as home:
        act(home.config, home.db, application, on)
    if as_json:
        emit({"app": application, "target": on, "state": "destroyed"})
    else:
        note(f"{application} is no longer on {on}.")


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A revision.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """Say in what two revisions differ: code, pins, configuration, indexes, models."""
    from dataclasses import asdict

    from noria.infra.deploying.records import find_revision
    from noria.infra.deploying.revision import changes

    with open_home() as home:
        found = changes(find_revision(home.db, before), find_revision(home.db, after))
    if as_json:
        emit([asdict(one) for one in found])
        return
    table(
        ["part", "piece", "before", "after"],
        (
            (one.part, one.piece, _short(one.before), _short(one.after))
            for one in found
        ),
        empty="They are the same.",
    )  # fmt: skip


def _short(version: str | None) -> str:
    return "–" if version is None else version[:16]


def _share(text: str) -> float:
    try:
        number = text.strip()
        share = float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise typer.BadParameter(f"{text!r} is no share; write 5% or 0.05", param_hint="--canary")
    return share


def _tell(text: str, standing: Any, as_json: bool) -> None:
    if as_json:
        emit(standing.as_json())
    else:
        note(f"{text} {standing.detail}".rstrip())


def _unknown(application: str, on: str) -> Exception:
    from noria.errors import NotFound

    return NotFound(f"{application} is not deployed on {on}.", "See: noria deploy ls")


def _state(one: Deployment) -> str:
    if one.pending is not None and one.state == "deploying":
        return f"{one.pending} is on its way, or was cut off: deploy it again"
    return one.state if one.error is None else f"{one.state} ({one.error})"


def _row(one: Deployment) -> dict[str, Any]:
    return {
        "target": one.target,
        "app": one.app,
        "revision": one.revision,
        "previous": one.previous,
        "canary": one.canary,
        "share": one.share,
        "pending": one.pending,
        "state": one.state,
        "address": one.address,
        "error": one.error,
        "at": iso(one.at),
    }
