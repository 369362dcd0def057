"""The OpenAPI 3.1 document of applications, made from their functions' signatures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from noria import __version__
from noria.apps.serve.manifest import Manifest

__all__ = ["document"]

_TRACE = {
    "x-noria-trace": {
        "description": "The trace that the run is recorded in.",
        "schema": {"type": "string"},
    }
}
_HEADERS = [
    {
        "name": "x-noria-trace",
        "in": "header",
        "description": "Goes on with a trace of the same key.",
        "schema": {"type": "string"},
    },
    {
        "name": "x-noria-conversation",
        "in": "header",
        "description": "A conversation that the server keeps, by your own name for it.",
        "schema": {"type": "string", "maxLength": 200},
    },
]
_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
            "required": ["message", "type", "code"],
        }
    },
    "required": ["error"],
}
_REFUSALS = {
    "401": "The key is missing, unknown or revoked.",
    "403": "The key may not use the application, or what was read exceeds a model's clearance.",
    "404": "There is no such function or variant.",
    "422": "Arguments cannot be used; the message names each one.",
    "429": "A limit or a budget is exhausted.",
    "500": "The function failed; its trace says why.",
    "503": "The application cannot answer now.",
}


def document(manifests: Iterable[Manifest], url: str, title: str) -> dict[str, Any]:
    """The document of some applications.

    Args:
        manifests: the applications.
        url: where the server is reached.
        title: what it is called.
    """
    schemas: dict[str, Any] = {"Error": _ERROR}
    paths: dict[str, Any] = {}
    tags = []
    for manifest in manifests:
        tags.append({"name": manifest.name, "description": manifest.description})
        for function in manifest.functions:
            path = f"/apps/{manifest.name}/{function['name']}"
            paths[path] = {"post": _operation(manifest, function, schemas)}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": __version__},
        "servers": [{"url": url}],
        "security": [{"key": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(
    manifest: Manifest, function: dict[str, Any], schemas: dict[str, Any]
) -> dict[str, Any]:
    name = f"{manifest.name}_{function['name']}"
    lines = function["doc"].strip().splitlines() or [function["name"]]
    content: dict[str, Any] = {
        "application/json": {"schema": _placed(function["returns"], f"{name}_result", schemas)},
        "text/event-stream": {
            "schema": {
                "type": "string",
                "description": "Events `delta` (a piece, as JSON), then `result` or `error`.",
            }
        },
    }
    refusals = {
        status: {
            "description": told,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for status, told in _REFUSALS.items()
    }
    return {
        "operationId": name,
        "tags": [manifest.name],
        "summary": lines[0],
        "description": function["doc"],
        "parameters": _HEADERS,
        "requestBody": {
            "required": bool(function["parameters"].get("required")),
            "content": {
                "application/json": {"schema": _placed(function["parameters"], name, schemas)}
            },
        },
        "responses": {
            "200": {"description": "The result.", "headers": _TRACE, "content": content},
            **refusals,
        },
    }


def _placed(schema: dict[str, Any], prefix: str, schemas: dict[str, Any]) -> Any:
    """A schema whose definitions stand among the document's, under names of their own."""
    definitions = schema.get("$defs", {})
    names = {f"#/$defs/{name}": f"#/components/schemas/{prefix}.{name}" for name in definitions}
    for name, definition in definitions.items():
        schemas[f"{prefix}.{name}"] = _renamed(definition, names)
    return _renamed({key: value for key, value in schema.items() if key != "$defs"}, names)


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: names.get(one, one) if key == "$ref" and isinstance(one, str)
            else _renamed(one, names)
            for key, one in value.items()
        }  # fmt: skip
    if isinstance(value, list):
        return [_renamed(one, names) for one in value]
    return value
