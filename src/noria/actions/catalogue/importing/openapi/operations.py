"""One operation of an OpenAPI document: its arguments, and how they become a request.

`binding` holds what the provider `http` needs: `method`, `server`, `path`; `arguments`, which tells
for every argument where it goes (`in`: path, query, header, cookie, body) under which `name`, with
`style` and `explode` where they are not the usual ones; `body` (`media`, and `whole` where the one
argument `body` is all of it); `security`, `pagination` and `long_running`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noria.actions.catalogue.importing.effects import effect_of_method
from noria.actions.catalogue.importing.openapi.features import (
    long_running_of,
    pagination_of,
    security_of,
)
from noria.actions.catalogue.importing.openapi.references import References
from noria.actions.catalogue.importing.openapi.schemas import Schemas, is_satisfiable
from noria.actions.operation import Operation

__all__ = ["Reader", "Unusable"]

_JSON = ("application/json", "application/merge-patch+json", "application/vnd.api+json")
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_UNSENT = ("authorization", "accept", "content-type")
_ANSWER_NODES = 60


class Unusable(Exception):
    """An operation cannot be called; the message says why."""


class Reader:
    """Reads the operations of one document.

    Args:
        catalogue: its name.
        document: the whole document.
        references: of the document.
        server: the address of the API, with which paths begin.
    """

    def __init__(
        self, catalogue: str, document: Mapping[str, Any], references: References, server: str
    ) -> None:
        self._catalogue = catalogue
        self._document = document
        self._references = references
        self._schemas = Schemas(references)
        self._answers = Schemas(references, answer=True)
        self._server = server
        components = document.get("components")
        schemes = components.get("securitySchemes") if isinstance(components, dict) else None
        self._schemes = {
            name: references.follow(one)[0]
            for name, one in (schemes if isinstance(schemes, dict) else {}).items()
        }

    def read(
        self, name: str, method: str, path: str, shared: Any, told: Mapping[str, Any], base: str
    ) -> Operation:
        """An operation.

        Args:
            name: what it is called here.
            method: of HTTP, in lower case.
            path: with its parameters in braces.
            shared: the parameters of the path.
            told: the operation's object.
            base: the document that it stands in.

        Raises:
            Unusable: nothing can call it.
            NoriaError: a reference cannot be followed.
        """
        arguments = _Arguments(self._references, self._schemas)
        arguments.add_parameters(shared, told.get("parameters"), base)
        body = arguments.add_body(told.get("requestBody"), base)
        schema = arguments.schema()
        missing = [part for part in _path_parameters(path) if part not in arguments.sent_in("path")]
        if missing:
            raise Unusable(f"its path needs {', '.join(missing)}, which nothing describes")
        for key in schema["required"]:
            if not is_satisfiable(schema["properties"][key]):
                raise Unusable(f"no value can meet the schema of {key}")
        responses = told.get("responses")
        responses = responses if isinstance(responses, dict) else {}
        returns, headers = self._answer(responses, base)
        summary = _line(told.get("summary")) or _line(told.get("description"))
        binding: dict[str, Any] = {
            "method": method,
            "server": self._server,
            "path": path,
            "arguments": arguments.bound,
            "body": body,
            "security": security_of(told, self._document, self._schemes),
            "pagination": pagination_of(arguments.sent_in("query"), returns, headers)
            if method == "get"
            else None,
            "long_running": long_running_of(told, responses, returns),
        }
        tags = [one for one in told.get("tags") or () if isinstance(one, str)]
        return Operation(
            self._catalogue,
            name,
            summary or f"{method.upper()} {path}",
            schema,
            effect_of_method(method, str(told.get("operationId") or path.rsplit("/", 1)[-1])),
            "http",
            "\n".join(filter(None, [_text(told.get("description")), " ".join(tags), path])),
            returns=returns,
            idempotent=method in ("get", "head", "put", "delete", "options"),
            binding={key: value for key, value in binding.items() if value},
        )

    def _answer(self, responses: Mapping[str, Any], base: str) -> tuple[dict[str, Any], list[str]]:
        """The schema of the answer to a call that worked, and the names of its headers."""
        for status in sorted(str(one) for one in responses):
            if not status.startswith("2"):
                continue
            told, where, _ = self._references.follow(responses[status], base)
            if not isinstance(told, dict):
                continue
            headers = told.get("headers")
            names = list(headers) if isinstance(headers, dict) else []
            _, media = _media(told.get("content"))
            if media is not None and "schema" in media:
                schema = self._answers.resolve(media["schema"], where, _ANSWER_NODES)
                return schema, names
            if names:
                return {}, names
        return {}, []


class _Arguments:
    """The arguments of one operation, from its parameters and its body."""

    def __init__(self, references: References, schemas: Schemas) -> None:
        self._references = references
        self._schemas = schemas
        self._properties: dict[str, dict[str, Any]] = {}
        self._required: list[str] = []
        self.bound: dict[str, dict[str, Any]] = {}

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": self._properties,
            "required": self._required,
            "additionalProperties": False,
        }

    def sent_in(self, place: str) -> list[str]:
        return [one["name"] for one in self.bound.values() if one["in"] == place]

    def add_parameters(self, shared: Any, own: Any, base: str) -> None:
        """The parameters of a path and of the operation, which win."""
        found: dict[tuple[str, str], tuple[dict[str, Any], str]] = {}
        for several in (shared, own):
            for given in several if isinstance(several, list) else ():
                one, where, _ = self._references.follow(given, base)
                if isinstance(one, dict) and isinstance(one.get("name"), str):
                    found[one["name"], str(one.get("in"))] = one, where
        for (name, place), (one, where) in found.items():
            if place == "header" and name.lower() in _UNSENT:
                continue
            if place not in ("path", "query", "header", "cookie"):
                raise Unusable(f"its parameter {name} is in {place!r}")
            sent: dict[str, Any] = {"in": place, "name": name}
            schema = one.get("schema")
            if schema is None:
                media, content = _media(one.get("content"))
                schema = content.get("schema") if content else {}
                if media:
                    sent["media"] = media
            sent |= {key: one[key] for key in ("style", "explode", "allowReserved") if key in one}
            made = self._schemas.resolve(schema, where)
            if one.get("description"):
                made["description"] = _text(one["description"])
            self._add(name, made, place == "path" or one.get("required") is True, sent)

    def add_body(self, given: Any, base: str) -> dict[str, Any] | None:
        """The body: the fields of an object as arguments, anything else as one argument."""
        if given is None:
            return None
        told, where, _ = self._references.follow(given, base)
        if not isinstance(told, dict):
            return None
        media, content = _media(told.get("content"))
        if media is None or content is None:
            return None
        required = told.get("required") is True
        schema = self._schemas.resolve(content.get("schema", {}), where)
        fields = schema.get("properties")
        flat = (
            isinstance(fields, dict)
            and bool(fields)
            and not any(key in schema for key in ("oneOf", "anyOf", "allOf"))
            and schema.get("additionalProperties") in (None, False)
        )
        if not flat:
            self._add("body", schema, required, {"in": "body", "name": "body"})
            return {"media": media, "whole": True}
        assert isinstance(fields, dict)
        for name, one in fields.items():
            needed = required and name in schema.get("required", ())
            self._add(name, one, needed, {"in": "body", "name": name})
        return {"media": media}

    def _add(self, name: str, schema: dict[str, Any], required: bool, sent: dict[str, Any]) -> None:
        key = name if name not in self._properties else f"{sent['in']}_{name}"
        self._properties[key] = schema
        self.bound[key] = sent
        if required:
            self._required.append(key)


def _media(content: Any) -> tuple[str | None, dict[str, Any] | None]:
    """The form of a content that is used, JSON before forms before others."""
    if not isinstance(content, dict):
        return None, None
    usable = {str(name): one for name, one in content.items() if isinstance(one, dict)}
    for name in usable:
        plain = name.partition(";")[0].strip().lower()
        if plain in _JSON or plain.endswith("+json"):
            return name, usable[name]
    for wanted in _FORMS:
        if wanted in usable:
            return wanted, usable[wanted]
    return next(iter(usable.items()), (None, None))


def _path_parameters(path: str) -> list[str]:
    return [part.partition("}")[0] for part in path.split("{")[1:]]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _line(value: Any) -> str:
    text = _text(value).strip()
    return " ".join(text.partition("\n\n")[0].split())[:300]
