"""A whole OpenAPI document as operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

from noria.actions.catalogue.importing.documents import is_address
from noria.actions.catalogue.importing.names import Names
from noria.actions.catalogue.importing.openapi.operations import Reader, Unusable
from noria.actions.catalogue.importing.openapi.references import References
from noria.actions.operation import Operation
from noria.errors import NoriaError

__all__ = ["read_openapi"]

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def read_openapi(
    name: str, document: Any, source: str, *, allow: tuple[str, ...] = (), server: str = ""
) -> tuple[list[Operation], list[tuple[str, str]]]:
    """The operations of a document.

    Args:
        name: of the catalogue.
        document: the data of the document.
        source: where it came from, from which relative references lead.
        allow: hosts and folders where references may lead.
        server: the address of the API, where it is not the document's.

    Returns:
        The operations, and those that nothing can call, each with the reason.

    Raises:
        NoriaError: it is no OpenAPI 3 document, or a reference cannot be followed.
    """
    if not isinstance(document, dict):
        raise NoriaError(f"{source} is no OpenAPI document: it is not an object.")
    version = document.get("openapi")
    if "swagger" in document:
        raise NoriaError(
            f"{source} is a Swagger {document['swagger']} document.",
            "Convert it to OpenAPI 3 first.",
        )
    if not isinstance(version, str) or not version.startswith(("3.0", "3.1")):
        raise NoriaError(f"{source}: openapi: must be 3.0.x or 3.1.x, not {version!r}.")
    paths = document.get("paths", {})
    if not isinstance(paths, dict):
        raise NoriaError(f"{source}: paths: must be an object.")
    references = References(document, source, allow)
    reader = Reader(name, document, references, server or _server(document, source))
    names, lost = Names(), []
    found: list[Operation] = []
    for path, given in paths.items():
        if path.startswith("x-"):
            continue
        item, base, _ = references.follow(given)
        if not isinstance(item, dict):
            lost.append((str(path), "its path is not an object"))
            continue
        for method in _METHODS:
            told = item.get(method)
            if told is None:
                continue
            called = f"{method.upper()} {path}"
            if not isinstance(told, dict):
                lost.append((called, "it is not an object"))
                continue
            identity = told.get("operationId")
            own = identity if isinstance(identity, str) and identity else _name(method, path)
            try:
                one = reader.read(names.take(own), method, path, item.get("parameters"), told, base)
            except Unusable as why:
                lost.append((called, str(why)))
                continue
            found.append(one)
    return found, lost


def _name(method: str, path: str) -> str:
    """A name for an operation that has none: `get_pets_by_id` for `GET /pets/{id}`."""
    parts = [
        f"by_{part.strip('{}')}" if part.startswith("{") else part
        for part in path.strip("/").split("/")
    ]
    return "_".join([method, *parts])


def _server(document: Mapping[str, Any], source: str) -> str:
    """The address of the API; empty where the document does not tell a whole one."""
    servers = document.get("servers")
    first = servers[0] if isinstance(servers, list) and servers else {}
    url = first.get("url") if isinstance(first, dict) else None
    if not isinstance(url, str):
        return ""
    variables = first.get("variables")
    for key, one in (variables if isinstance(variables, dict) else {}).items():
        if isinstance(one, dict) and isinstance(one.get("default"), (str, int)):
            url = url.replace("{" + str(key) + "}", str(one["default"]))
    if is_address(source):
        url = urljoin(source, url)
    return url.rstrip("/") if is_address(url) else ""
