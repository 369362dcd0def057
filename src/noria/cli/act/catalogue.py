"""`noria act catalogue`: what there is to call."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli._io.output import AsJson, emit, note, printable, table

if TYPE_CHECKING:
    from noria.actions.catalogue import CatalogueStore, StoredPart
    from noria.actions.operation import Operation

__all__ = ["app"]

app = typer.Typer(
    help="What there is to call: operations and offers, from their documents.",
    no_args_is_help=True,
)

_SHOWN = 20
_Name = Annotated[str, typer.Argument(metavar="NAME", help="The catalogue.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What to call it: letters, digits, - and _.")],
    source: Annotated[str, typer.Argument(help="A file, an address, a module, or a command line.")],
    kind: Annotated[
        str | None,
        typer.Option(help="openapi, python, help, mcp, apibench or offers; seen from the name."),
    ] = None,
    label: Annotated[str, typer.Option(help="Who may see it: the label of all of it.")] = "public",
    grant: Annotated[
        list[str] | None, typer.Option(help="A group that may see it; again for others.")
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="A host or a folder that references ($ref) may lead to."),
    ] = None,
    server: Annotated[str, typer.Option(help="The API's address, if not the document's.")] = "",
    as_json: AsJson = False,
) -> None:
    """Add a catalogue, or read one of this name anew from somewhere else."""
    from noria.actions.catalogue import Origin
    from noria.actions.catalogue.importing import KINDS, kind_of
    from noria.actions.catalogue.store import check_name
    from noria.errors import ConfigError
    from noria.retrieval.document import Unreadable, read_grants, read_label

    check_name(name)
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"--kind: {kind!r} is none of {', '.join(KINDS)}.")
    try:
        marks = read_label(label), read_grants(grant or [])
    except Unreadable as wrong:
        raise ConfigError(f"{wrong}.") from None
    chosen = kind or kind_of(source)
    if chosen in ("openapi", "python", "apibench", "offers") and Path(source).exists():
        source = str(Path(source).resolve())
    origin = Origin(chosen, source, "", *marks, tuple(allow or ()), server)
    _read_and_keep(name, origin, as_json)


@app.command()
def refresh(name: _Name, as_json: AsJson = False) -> None:
    """Read a catalogue anew from where it came. Plans of the version before need a new approval."""
    from noria.errors import NoriaError

    stored = _store().get(name)
    if stored.origin.kind == "shipped":
        raise NoriaError(
            f"The catalogue {name} comes with noria.", "Its prices are as old as noria: upgrade it."
        )
    _read_and_keep(name, stored.origin, as_json)


@app.command()
def ls(as_json: AsJson = False) -> None:
    """List the catalogues of this home."""
    found = _store().all()
    if as_json:
        emit([one.told() for one in found])
        return
    table(
        ["name", "kind", ">operations", ">offers", ">lost", "version", "read", "from"],
        (
            (one.part.name, one.origin.kind, f"{len(one.part.operations):,}",
             f"{len(one.part.offers):,}", f"{len(one.lost):,}", one.part.version[:12],
             one.origin.at, one.origin.source)
            for one in found
        ),
        empty="There is none.",
    )  # fmt: skip


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A catalogue, or an operation: CATALOGUE.NAME.")
    ],
    search: Annotated[
        str | None, typer.Option(help="Only what fits these words best, the best first.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show so many.")] = _SHOWN,
    as_json: AsJson = False,
) -> None:
    """Show a catalogue with its operations, or one operation whole."""
    from noria.actions.catalogue import Catalogue

    catalogue, dot, _ = name.partition(".")
    stored = _store().get(catalogue)
    content = Catalogue([stored.part])
    if dot:
        _show_operation(content.get(name), as_json)
        return
    found = content.search(search, limit) if search else content.operations()[:limit]
    if as_json:
        told = stored.told() | {"shown": [_operation(one) for one in found]}
        emit(told | {"instance_types": _types(stored), "as_of": _days(stored)})
        return
    note(f"{catalogue}: {stored.origin.kind} of {printable(stored.origin.source)}")
    note(f"version {stored.part.version}, read {stored.origin.at or 'with noria'}")
    table(
        ["operation", "effect", "undo", ""],
        ((one.name, str(one.effect), one.undo or "", one.summary[:80]) for one in found),
        empty="It has no operation that fits." if search else "It has no operations.",
    )
    left = len(stored.part.operations) - len(found)
    if left > 0 and not search:
        note(f"{left:,} more; look for them: --search WORDS")
    if stored.part.offers:
        days = ", ".join(_days(stored))
        note(f"{len(stored.part.offers):,} offers, prices of {days}:")
        table(
            ["type", "accelerators", ">regions", ">unknown prices"],
            _types_told(stored),
            empty="",
        )
    for lost, why in stored.lost[:_SHOWN]:
        note(printable(f"left out: {lost}: {why}"))


@app.command()
def rm(name: _Name, as_json: AsJson = False) -> None:
    """Remove a catalogue. Plans that were made from it can no longer be applied."""
    _store().remove(name)
    if as_json:
        emit({"name": name, "removed": True})
    else:
        note(f"The catalogue {name} is gone.")


def _store() -> CatalogueStore:
    from noria.actions.catalogue import CatalogueStore
    from noria.config import load

    return CatalogueStore(load().home)


def _read_and_keep(name: str, origin: Any, as_json: bool) -> None:
    from noria.actions.catalogue.importing import import_catalogue

    store = _store()
    kept = store.put(import_catalogue(name, origin))
    _learn(kept)
    if as_json:
        emit(kept.told())
        return
    effects = Counter(str(one.effect) for one in kept.part.operations)
    told = ", ".join(f"{number} {effect}" for effect, number in effects.most_common())
    note(f"{name}: {len(kept.part.operations):,} operations ({told or 'none'}), "
         f"{len(kept.part.offers):,} offers; version {kept.part.version[:12]}")  # fmt: skip
    for lost, why in kept.lost[:_SHOWN]:
        note(printable(f"left out: {lost}: {why}"))
    if len(kept.lost) > _SHOWN:
        note(f"and {len(kept.lost) - _SHOWN:,} more (--json tells all)")


def _learn(kept: StoredPart) -> None:
    """Embed what was added, so that it is found by meaning. Stopping it loses nothing: searches
    then go by words until the catalogue is refreshed."""
    from noria.actions.catalogue import Catalogue
    from noria.actions.catalogue.store import open_meaning
    from noria.config import load
    from noria.errors import EngineError

    meaning = open_meaning(load().home)
    if meaning is None or not kept.part.operations:
        return
    texts = Catalogue([kept.part]).told()
    if len(texts) > _SHOWN:
        note(f"Embedding {len(texts):,} operations; Ctrl-C leaves the rest to a refresh.")
    try:
        meaning.learn(texts)
    except (EngineError, ImportError, KeyboardInterrupt):
        note("They are searched by words alone for now.")


def _show_operation(one: Operation, as_json: bool) -> None:
    if as_json:
        emit(_operation(one))
        return
    import orjson

    note(f"{one.id}: {printable(one.summary)}")
    undo = one.undo or "none"
    if one.undo:
        undo += " (verified)" if one.undo_verified else " (not verified)"
    table(
        ["", ""],
        [
            ("effect", str(one.effect)),
            ("undo", undo),
            ("idempotent", "yes" if one.idempotent else "no"),
            ("carried out by", one.provider),
            ("label", str(one.label)),
            ("groups", ", ".join(sorted(one.grants)) or "everybody"),
        ],
        empty="",
    )
    typer.echo(printable(orjson.dumps(one.parameters, option=orjson.OPT_INDENT_2).decode()))
    if one.documentation:
        typer.echo(printable(one.documentation))


def _operation(one: Operation) -> dict[str, Any]:
    from noria.actions.catalogue.stored import operation_json

    return {"id": one.id, **operation_json(one)}


def _types(stored: StoredPart) -> dict[str, int]:
    return dict(Counter(one.instance_type for one in stored.part.offers))


def _days(stored: StoredPart) -> list[str]:
    return sorted({one.as_of for one in stored.part.offers})


def _types_told(stored: StoredPart) -> list[tuple[str, str, str, str]]:
    unknown = Counter(
        one.instance_type for one in stored.part.offers if one.price_hour_nano is None
    )
    first = {one.instance_type: one for one in reversed(stored.part.offers)}
    return [
        (
            name,
            f"{first[name].accelerators} x {first[name].accelerator}"
            if first[name].accelerators
            else "",
            str(regions),
            str(unknown[name] or ""),
        )
        for name, regions in sorted(_types(stored).items())
    ]
