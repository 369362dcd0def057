"""`noria key`: who may call, and how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli._io import options
from noria.cli._io.home import open_home
from noria.cli._io.output import AsJson, emit, iso, note, table

if TYPE_CHECKING:
    from noria.store import Key

__all__ = ["app"]

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)


@app.command()
def create(
    team: Annotated[
        str | None, typer.Option(help="The team it belongs to; made if missing.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="The user it belongs to; made if missing.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help='The most it may spend: "5 USD/day", /week, /month, or "5 USD" in all.'),
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Models it may call, with commas; all, if left out.")
    ] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="Requests a minute.")] = None,
    tpm: Annotated[int | None, typer.Option(min=1, help="Tokens a minute.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Calls at the same time.")] = None,
    groups: Annotated[
        str | None, typer.Option(help="Groups of its holder, with commas: they open documents.")
    ] = None,
    clearance: Annotated[
        str, typer.Option(help="public, internal, confidential or restricted.")
    ] = "public",
    name: Annotated[str | None, typer.Option(help="A name, to tell it from others.")] = None,
    no_content: Annotated[
        bool, typer.Option("--no-content", help="Record figures only, never messages.")
    ] = False,
    admin: Annotated[
        bool, typer.Option("--admin", help="May sign in to the pages and manage keys.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a key. Its secret is shown this once; a running server accepts it at once."""
    limit = options.budget(budget)
    level = options.label(clearance)
    chosen = options.names(models)
    from noria.store import create_key

    with open_home() as home:
        key, secret = create_key(
            home.db,
            team=team,
            user=user,
            budget=limit,
            models=chosen or None,
            rpm=rpm,
            tpm=tpm,
            concurrency=concurrency,
            admin=admin,
            groups=options.names(groups),
            clearance=level,
            record_content=not no_content,
            name=name,
        )
    if as_json:
        row = _row(key)
        emit({"id": row.pop("id"), "key": secret} | row)
        return
    note(f"{key.id} for {_owner(key)}, {_limits(key)}. The secret is shown this once:")
    typer.echo(secret)


@app.command()
def ls(as_json: AsJson = False) -> None:
    """List all keys, the newest first, revoked ones too."""
    from noria.store import list_keys

    with open_home() as home:
        keys = list_keys(home.db)[::-1]
    if as_json:
        emit([_row(key) for key in keys])
        return
    from noria.web.format import relative

    table(
        ["id", "secret", "name", "team", "user", "budget", "models", "limits", "made", "state"],
        (
            (
                key.id,
                f"…{key.hint}",
                key.name or "",
                key.team or "",
                key.user or "",
                str(key.budget or ""),
                "all" if key.models is None else ", ".join(key.models),
                _rates(key),
                relative(key.created_ns),
                f"revoked {relative(key.revoked_ns)}" if key.revoked_ns else _state(key),
            )
            for key in keys
        ),
        empty="There are no keys yet. Make one: noria key create --team NAME",
    )


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `noria key ls` shows it.")],
) -> None:
    """End a key for good. A running server refuses it at once."""
    from noria.store import revoke_key

    with open_home() as home:
        key = revoke_key(home.db, key_id)
    note(f"{key.id} for {_owner(key)} is revoked.")


def _row(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "team": key.team,
        "user": key.user,
        "budget": str(key.budget) if key.budget else None,
        "models": list(key.models) if key.models is not None else None,
        "rpm": key.rpm,
        "tpm": key.tpm,
        "concurrency": key.concurrency,
        "groups": sorted(key.groups),
        "clearance": str(key.clearance),
        "record_content": key.record_content,
        "admin": key.admin,
        "created_at": iso(key.created_ns),
        "revoked_at": iso(key.revoked_ns),
    }


def _owner(key: Key) -> str:
    owners = [f"team {key.team}" if key.team else "", f"user {key.user}" if key.user else ""]
    return ", ".join(filter(None, owners)) or "nobody in particular"


def _limits(key: Key) -> str:
    models = "all models" if key.models is None else ", ".join(key.models)
    limits = [models, str(key.budget) if key.budget else "no budget of its own", _rates(key)]
    return "; ".join(filter(None, limits))


def _rates(key: Key) -> str:
    rates = {"requests/min": key.rpm, "tokens/min": key.tpm, "at once": key.concurrency}
    return ", ".join(f"{number:,} {unit}" for unit, number in rates.items() if number is not None)


def _state(key: Key) -> str:
    marks = ["admin" if key.admin else "", "" if key.record_content else "content not recorded"]
    return ", ".join(filter(None, marks)) or "active"
