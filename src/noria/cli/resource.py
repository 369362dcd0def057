"""`noria resource`: the catalogue of what applications stand on."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli._io import options
from noria.cli._io.home import open_home
from noria.cli._io.output import AsJson, emit, iso, note, table

if TYPE_CHECKING:
    from noria.infra.catalogue.entries import Resource

__all__ = ["app"]

app = typer.Typer(help="Databases, stores, clusters, and whose they are.", no_args_is_help=True)


class Kind(enum.StrEnum):
    """What a resource is."""

    DATABASE = "database"
    STORE = "store"
    PROVIDER = "provider"
    CLUSTER = "cluster"
    REGISTRY = "registry"


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    address: Annotated[str, typer.Argument(help="Its URL, without a password.")],
    kind: Annotated[Kind, typer.Option(help="What it is.")],
    owner: Annotated[str, typer.Option(help="The user or team that answers for it.")],
    secret: Annotated[
        str | None,
        typer.Option(help="Where its secret stands: env:NAME, file:/path, ..."),
    ] = None,
    grants: Annotated[
        str | None, typer.Option(help="Groups that may use it, with commas; * for everybody.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put a resource into the catalogue. Its secret is never kept, only where it stands."""
    from noria.infra.catalogue.entries import add_resource

    with open_home() as home:
        made = add_resource(
            home.db, name, kind.value, address, owner=owner, secret=secret,
            grants=options.names(grants),
        )  # fmt: skip
    if as_json:
        emit(_row(made))
    else:
        note(f"{name} is in the catalogue. Try it: noria resource test {name}")


@app.command("test")
def try_connection(
    name: Annotated[str, typer.Argument(help="As `noria resource ls` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Connect to a resource with its secret. Exits with 1 where it does not answer."""
    from noria.infra.catalogue.entries import test_resource

    with open_home() as home:
        found = test_resource(home.db, name)
    if as_json:
        emit(_row(found))
    else:
        note(f"{name}: {found.problem or 'it answers'}")
    if found.problem:
        raise typer.Exit(1)


@app.command()
def ls(as_json: AsJson = False) -> None:
    """List the catalogue."""
    from noria.infra.catalogue.entries import list_resources

    with open_home() as home:
        found = list_resources(home.db)
    if as_json:
        emit([_row(one) for one in found])
        return
    table(
        ["name", "kind", "address", "owner", "grants", "secret", "tested"],
        (
            (
                one.name, one.kind, one.address, one.owner, ", ".join(one.grants),
                one.secret or "", "" if one.tested_ns is None else one.problem or "answers",
            )
            for one in found
        ),
        empty="The catalogue is empty. Add: noria resource add NAME URL --kind KIND --owner TEAM",
    )  # fmt: skip


@app.command()
def rm(
    name: Annotated[str, typer.Argument(help="As `noria resource ls` shows it.")],
) -> None:
    """Take a resource out of the catalogue; what it stands for is left alone."""
    from noria.infra.catalogue.entries import remove_resource

    with open_home() as home:
        remove_resource(home.db, name)
    note(f"{name} is no longer in the catalogue.")


def _row(one: Resource) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "address": one.address,
        "owner": one.owner,
        "grants": list(one.grants),
        "secret": one.secret,
        "added_at": iso(one.at),
        "tested_at": iso(one.tested_ns),
        "problem": one.problem,
    }
