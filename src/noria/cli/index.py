"""`noria index`: making indexes, looking at them, searching them, and who was shown a document."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli._io.home import open_home
from noria.cli._io.output import AsJson, console, emit, iso, note, printable, table
from noria.errors import NoriaError

if TYPE_CHECKING:
    from noria.apps import App
    from noria.retrieval import DocumentRow, Found, Index, IndexRow, Report

__all__ = ["app"]

app = typer.Typer(help="Documents that applications search.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="INDEX", help="The index's name.")]


@app.command()
def build(
    file: Annotated[Path, typer.Argument(help="The application's file.")],
    name: Annotated[
        str | None, typer.Option("--index", metavar="INDEX", help="Only this one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the indexes of an application up to date with their sources."""
    from noria.apps import load_app
    from noria.apps.run.standalone import close

    indexes = [(owner, index) for owner in load_app(file) for index in owner.indexes.values()]
    chosen = [(owner, index) for owner, index in indexes if name in (None, index.name)]
    if not chosen:
        known = ", ".join(index.name for _, index in indexes) or "none"
        raise NoriaError(
            f"{file} has no index{'' if name is None else f' {name}'}.", f"It has: {known}."
        )
    try:
        reports = [_build(owner, index) for owner, index in chosen]
    finally:
        close()
    if as_json:
        emit([asdict(report) for report in reports])


def _build(owner: App, index: Index) -> Report:
    from noria.apps import current_context
    from noria.cli._io.progress import watched

    with watched(index.name) as progress:

        async def work() -> Report:
            return await index.build(await current_context(owner), progress=progress)

        try:
            report = asyncio.run(work())
        except KeyboardInterrupt:
            note("Stopped. What is done is kept; run it again to go on.")
            raise typer.Exit(130) from None
    _tell(report)
    return report


def _tell(report: Report) -> None:
    note(
        f"{report.index}: {_many(report.documents, 'document')}, "
        f"{_many(report.chunks, 'passage')}. "
        f"{report.added:,} new, {report.changed:,} changed, {report.removed:,} gone, "
        f"{report.unchanged:,} as before; {_many(report.embedded, 'passage')} embedded."
    )
    if report.held_out:
        note(f"{report.held_out:,} stay out, because a person removed them.")
    for label, count in report.words_only.items():
        note(f"{count:,} {label} passages are found by their words only: the model is not cleared.")
    if report.failed:
        note(f"{len(report.failed):,} could not be read:")
        for failure in report.failed:
            note(f"  {printable(failure.id)}: {printable(failure.reason)}")


@app.command()
def ls(as_json: AsJson = False) -> None:
    """List the indexes of this home."""
    from noria.retrieval import list_indexes

    with open_home() as home:
        found = list_indexes(home.db)
    if as_json:
        emit([_index(row) for row in found])
        return
    table(
        ("index", "app", ">documents", ">passages", "labels", "granted to", "model", "indexed"),
        [
            (
                row.name,
                row.app or "",
                f"{row.documents:,}",
                f"{row.chunks:,}",
                ", ".join(map(str, row.labels)),
                ", ".join(row.groups) or "everyone",
                row.model,
                _when(row.built_ns),
            )
            for row in found
        ],
        empty="There is no index yet. An application makes one with app.index(...).",
    )


@app.command()
def show(
    name: Name,
    document: Annotated[
        str | None, typer.Argument(help="Show the passages of this document.")
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only documents that could not be read.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most documents.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show an index and its documents, or the passages of one document."""
    from noria.retrieval import find_document, find_index, list_chunks, list_documents

    with open_home() as home:
        if document is not None:
            row = find_document(home.db, name, document)
            chunks = list_chunks(home.db, name, document)
        else:
            index = find_index(home.db, name)
            page = list_documents(home.db, name, failed=failed, limit=limit)
    if document is not None:
        if as_json:
            emit(_document(row) | {"passages": [asdict(chunk) for chunk in chunks]})
            return
        _describe(row)
        for chunk in chunks:
            console().print(f"\n[{chunk.number}] {printable(chunk.heading)}", style="bold")
            console().print(printable(chunk.text), soft_wrap=True)
        return
    if as_json:
        emit(_index(index) | {"documents_shown": [_document(row) for row in page.rows]})
        return
    waiting = f", {index.waiting:,} waiting for their vectors" if index.waiting else ""
    console().print(
        f"{index.name}: {_many(index.documents, 'document')}, "
        f"{_many(index.chunks, 'passage')}{waiting}\n"
        f"source {index.source}\nmodel {index.model}, vectors in {index.store}\n"
        f"indexed {_when(index.built_ns)}\n"
    )
    table(
        ("document", "title", "label", "granted to", ">passages", "error"),
        [
            (
                row.id,
                row.title if row.title != row.id else "",
                "" if row.label is None else str(row.label),
                _granted(row),
                str(row.chunks),
                row.error or ("removed" if row.removed_ns else ""),
            )
            for row in page.rows
        ],
        empty="There is no such document in it.",
    )
    if page.next is not None:
        note(f"and more: --limit {limit * 10}")


@app.command()
def search(
    name: Name,
    question: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="The most passages.")] = 5,
    budget_tokens: Annotated[
        int | None, typer.Option(min=1, help="The most tokens of all passages together.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search an index, as the key in NORIA_KEY or the owner of the home, and say why each passage
    was found."""
    from noria.apps.run.standalone import close, current_context
    from noria.retrieval import search_index

    async def work() -> list[Found]:
        return await search_index(
            await current_context(), name, question, k=k, budget_tokens=budget_tokens
        )

    try:
        found = asyncio.run(work())
    finally:
        close()
    if as_json:
        emit([one.shown() for one in found])
        return
    if not found:
        note("Nothing was found that you may see.")
    for number, one in enumerate(found, 1):
        document = one.document
        console().print(
            printable(f"{number}. {document.title}  ({document.id}, {document.label})"),
            style="bold",
        )
        console().print(printable(f"   {one.why}, score {document.score:.2f}"), style="dim")
        console().print(printable(document.text), soft_wrap=True)
        console().print()


@app.command()
def who(
    document: Annotated[str, typer.Argument(help="The document's id.")],
    name: Annotated[
        str | None, typer.Option("--index", metavar="INDEX", help="Only as found in this one.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The most to show.")] = 1_000,
    as_json: AsJson = False,
) -> None:
    """List the answers that used a document, and who saw them."""
    from noria.store import answers_of

    with open_home() as home:
        home.take_in()
        found = answers_of(home.db, document, name, limit=limit)
    if as_json:
        emit(
            [
                {
                    "trace_id": answer.trace_id,
                    "at": iso(answer.at_ns),
                    "index": answer.index,
                    "label": str(answer.label),
                    "app": answer.app,
                    "user": answer.user,
                    "key_id": answer.key_id,
                    "deleted_at": iso(answer.deleted_ns),
                    "redacted_at": iso(answer.redacted_ns),
                }
                for answer in found
            ]
        )
        return
    table(
        ("when", "trace", "index", "label", "app", "user", "key", "text"),
        [
            (
                _when(answer.at_ns),
                answer.trace_id,
                answer.index,
                str(answer.label),
                answer.app or "",
                answer.user or "",
                answer.key_id or "",
                "redacted" if answer.redacted_ns else "deleted" if answer.deleted_ns else "",
            )
            for answer in found
        ],
        empty=f"No recorded answer used a document {document}.",
    )


@app.command()
def rm(name: Name, document: Annotated[str, typer.Argument(help="The document's id.")]) -> None:
    """Take a document out of every search. It stays out while its source goes on to offer it; what
    recorded runs hold of it is taken out by `noria trace redact`."""
    from noria.errors import NotFound
    from noria.retrieval.stored_index import find_library

    with open_home() as home:
        home.take_in()
        if not find_library(home.db, name).remove(document):
            raise NotFound(f"There is no document {document} in the index {name}.")
    note(f"{document} is out of {name}.")


def _index(row: IndexRow) -> dict[str, Any]:
    told = asdict(row)
    told["labels"] = [str(label) for label in row.labels]
    told["built_at"] = iso(told.pop("built_ns"))
    return told


def _document(row: DocumentRow) -> dict[str, Any]:
    told = asdict(row)
    told["label"] = None if row.label is None else str(row.label)
    told["indexed_at"] = iso(told.pop("indexed_ns"))
    told["removed_at"] = iso(told.pop("removed_ns"))
    return told


def _describe(row: DocumentRow) -> None:
    facts = [row.source, "" if row.label is None else str(row.label), _granted(row)]
    console().print(printable(row.title), style="bold")
    console().print(printable(", ".join(filter(None, facts))), style="dim")
    if row.error:
        console().print(printable(f"could not be read: {row.error}"))


def _granted(row: DocumentRow) -> str:
    return " and ".join(" or ".join(groups) for groups in row.grants) or "everyone"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _when(nanoseconds: int | None) -> str:
    from noria.web.format import instant

    return "not yet" if nanoseconds is None else instant(nanoseconds)
