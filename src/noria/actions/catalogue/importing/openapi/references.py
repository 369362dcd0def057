"""`$ref` of a document: followed within it, and elsewhere only where that was allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from noria.actions.catalogue.importing.documents import is_address, parse_document, read_source
from noria.errors import NoriaError

__all__ = ["References"]

_MOST_HOPS = 50
_MOST_FILES = 200


class References:
    """Finds what references stand for.

    Args:
        document: the root.
        source: where it came from: a path or an address.
        allow: hosts, and folders, where references may lead.
    """

    def __init__(self, document: Any, source: str, allow: tuple[str, ...] = ()) -> None:
        self._documents = {source: document}
        self._source = source
        self._allow = allow

    def follow(self, node: Any, base: str = "") -> tuple[Any, str, str | None]:
        """What a node is, however many references stand before it.

        Args:
            node: any part of a document.
            base: the document that it stands in; by default the root.

        Returns:
            What it is, the document that this stands in, and the last reference (None: none).

        Raises:
            NoriaError: a reference leads nowhere, round in a circle, or where it may not.
        """
        base = base or self._source
        last: str | None = None
        for _ in range(_MOST_HOPS):
            if not isinstance(node, dict) or not isinstance(node.get("$ref"), str):
                return node, base, last
            reference = node["$ref"]
            more = {key: value for key, value in node.items() if key in ("description", "summary")}
            place, _, pointer = reference.partition("#")
            if place:
                base = self._elsewhere(place, base)
            last = f"{base}#{pointer}"
            node = self._at(self._documents[base], pointer, reference)
            if more and isinstance(node, dict):
                node = {**node, **more}
        raise NoriaError(f"{self._source}: the reference {last} leads round in a circle.")

    def _at(self, document: Any, pointer: str, reference: str) -> Any:
        node = document
        if not pointer.strip("/"):
            return node
        if not pointer.startswith("/"):
            raise NoriaError(f"{self._source}: the reference {reference!r} is no JSON pointer.")
        for step in pointer[1:].split("/"):
            step = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict) and step in node:
                node = node[step]
            elif isinstance(node, list) and step.isdigit() and int(step) < len(node):
                node = node[int(step)]
            else:
                raise NoriaError(f"{self._source}: the reference {reference!r} leads nowhere.")
        return node

    def _elsewhere(self, place: str, base: str) -> str:
        """Read another document, if that is allowed."""
        remote = is_address(place) or is_address(base)
        if remote:
            found = urljoin(base, place) if is_address(base) else place
            allowed = is_address(found) and (urlsplit(found).hostname or "") in self._allow
        else:
            path = (Path(base).parent / unquote(place)).resolve()
            found = str(path)
            allowed = any(
                path.is_relative_to(Path(one).resolve())
                for one in self._allow
                if Path(one).is_dir()
            )
        if found in self._documents:
            return found
        if not allowed:
            where = (urlsplit(found).hostname or "HOST") if remote else str(Path(found).parent)
            raise NoriaError(
                f"{self._source} refers to {place[:200]!r}, which is another document.",
                f"If you trust it, allow it: --allow {where}",
            )
        if len(self._documents) >= _MOST_FILES:
            raise NoriaError(f"{self._source} refers to more than {_MOST_FILES} documents.")
        self._documents[found] = parse_document(read_source(found, private=not remote), found)
        return found
