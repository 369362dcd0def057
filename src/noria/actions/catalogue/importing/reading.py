"""A catalogue read from its origin, of whatever kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from noria.actions.catalogue.catalogue import Part
from noria.actions.catalogue.importing.apibench import read_apibench_lines
from noria.actions.catalogue.importing.documents import is_address, parse_document, read_source
from noria.actions.catalogue.importing.help import read_help
from noria.actions.catalogue.importing.mcp import read_mcp
from noria.actions.catalogue.importing.offers import read_offers_table
from noria.actions.catalogue.importing.openapi import read_openapi
from noria.actions.catalogue.importing.pairing import paired
from noria.actions.catalogue.importing.python import read_python
from noria.actions.catalogue.stored import Origin, StoredPart
from noria.actions.operation import Offer, Operation
from noria.errors import NoriaError
from noria.types import utc_now

__all__ = ["KINDS", "import_catalogue", "kind_of"]

KINDS = ("openapi", "python", "help", "mcp", "apibench", "offers")


def kind_of(source: str) -> str:
    """The kind of a source, by its name.

    Raises:
        NoriaError: its name does not tell.
    """
    ending = Path(source.partition("?")[0]).suffix.lower()
    by_ending = {
        ".json": "openapi",
        ".yaml": "openapi",
        ".yml": "openapi",
        ".py": "python",
        ".jsonl": "apibench",
        ".csv": "offers",
    }
    if ending in by_ending:
        return by_ending[ending]
    if is_address(source) and source.rstrip("/").endswith(("/mcp", "/sse")):
        return "mcp"
    raise NoriaError(
        f"What {source} is does not show in its name.", f"Say it: --kind {'|'.join(KINDS)}"
    )


def import_catalogue(name: str, origin: Origin) -> StoredPart:
    """Read a catalogue. Blocks; a document of 10 MB takes some seconds.

    Args:
        name: of the catalogue.
        origin: where it comes from.

    Raises:
        NoriaError: it cannot be read, or there is nothing in it.
    """
    operations: list[Operation] = []
    lost: list[tuple[str, str]] = []
    offers: list[Offer] = []
    source = origin.source
    if origin.kind == "openapi":
        document = parse_document(read_source(source), source)
        operations, lost = read_openapi(
            name, document, source, allow=origin.allow, server=origin.server
        )
    elif origin.kind == "python":
        operations, lost = read_python(name, source)
    elif origin.kind == "help":
        operations, lost = read_help(name, source)
    elif origin.kind == "mcp":
        operations, lost = read_mcp(name, source)
    elif origin.kind == "apibench":
        operations, lost = read_apibench_lines(name, read_source(source), source)
    elif origin.kind == "offers":
        offers = read_offers_table(name, read_source(source), source)
    else:
        raise NoriaError(f"kind: must be one of {', '.join(KINDS)}, not {origin.kind!r}.")
    if not operations and not offers:
        why = f" ({lost[0][0]}: {lost[0][1]})" if lost else ""
        raise NoriaError(f"{source} describes nothing that can be called{why}.")
    kept = [replace(one, label=origin.label, grants=origin.grants) for one in paired(operations)]
    part = replace(Part.of(name, kept, offers), grants=origin.grants, label=origin.label)
    at = utc_now().isoformat(timespec="seconds").replace("+00:00", "Z")
    return StoredPart(part, replace(origin, at=at), tuple(lost))
