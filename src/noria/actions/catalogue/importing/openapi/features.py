"""What an operation needs beside its arguments: credentials, pages, waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["long_running_of", "pagination_of", "security_of"]

_CURSORS = ("cursor", "page_token", "pagetoken", "next_token", "nexttoken", "starting_after",
            "after", "continue", "marker", "continuation_token")  # fmt: skip
_OFFSETS = ("offset", "skip", "start")
_PAGES = ("page", "page_number", "pagenumber", "page[number]")
_SIZES = ("limit", "per_page", "perpage", "page_size", "pagesize", "max_results", "maxresults",
          "count", "size", "top", "$top", "page[size]")  # fmt: skip
_NEXT = ("next_cursor", "nextcursor", "next_page_token", "nextpagetoken", "next_token",
         "nexttoken", "next", "next_page", "has_more", "continuation_token")  # fmt: skip
_STATUS = ("status", "state", "done", "phase")


def security_of(
    operation: Mapping[str, Any], document: Mapping[str, Any], schemes: Mapping[str, Any]
) -> list[list[dict[str, Any]]]:
    """The ways to prove who calls: one of them is enough, each of all its schemes.

    Only which secret is needed and where it goes; never one itself.
    """
    asked = operation.get("security", document.get("security"))
    found = []
    for one in asked if isinstance(asked, list) else ():
        if not isinstance(one, dict):
            continue
        way = []
        for name, scopes in one.items():
            scheme = schemes.get(name)
            if not isinstance(scheme, dict):
                scheme = {}
            told = {key: scheme[key] for key in ("type", "in", "scheme") if key in scheme}
            if scheme.get("type") == "apiKey":
                told["parameter"] = scheme.get("name")
            if isinstance(scopes, list) and scopes:
                told["scopes"] = scopes
            way.append({"name": name, **told})
        found.append(way)
    return found


def pagination_of(
    query: Sequence[str], returns: Mapping[str, Any], headers: Sequence[str]
) -> dict[str, Any] | None:
    """How a list is read in pages; None where it is not.

    Args:
        query: the names of the parameters in the query.
        returns: the schema of what comes back.
        headers: of the answer.
    """
    by_name = {name.lower(): name for name in query}
    size = next((by_name[name] for name in _SIZES if name in by_name), None)
    fields = {name.lower(): name for name in returns.get("properties", {})}
    following = next((fields[name] for name in _NEXT if name in fields), None)
    for style, names in (("cursor", _CURSORS), ("page", _PAGES), ("offset", _OFFSETS)):
        parameter = next((by_name[name] for name in names if name in by_name), None)
        if parameter is not None:
            return {"style": style, "parameter": parameter, "size": size, "next": following}
    if any(name.lower() == "link" for name in headers):
        return {"style": "link", "parameter": None, "size": size, "next": "Link"}
    return None


def long_running_of(
    operation: Mapping[str, Any], responses: Mapping[str, Any], returns: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Where to look until it is done; None where it is done when it answers."""
    accepted = responses.get("202")
    marked = operation.get("x-ms-long-running-operation") is True
    if not isinstance(accepted, dict) and not marked:
        return None
    headers = accepted.get("headers") if isinstance(accepted, dict) else None
    named = {name.lower(): name for name in headers} if isinstance(headers, dict) else {}
    poll = next(
        (
            named[name]
            for name in ("operation-location", "azure-asyncoperation", "location")
            if name in named
        ),
        None,
    )
    fields = returns.get("properties", {})
    status = next((name for name in _STATUS if name in fields), None)
    return {"poll": poll, "status": status}
