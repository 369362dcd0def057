"""Schemas of OpenAPI as JSON Schema without references."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from noria.actions.catalogue.importing.openapi.references import References

__all__ = ["Schemas", "is_satisfiable"]

_LEVELS = 3
"""How many references within references are followed at most."""
_MOST_NODES = 200
"""Subschemas of one schema, beyond which fewer levels are followed."""
_MOST_INLINE = 100
"""How deep a schema may be nested without references."""
_KEPT = (
    "type", "description", "enum", "const", "default", "format", "pattern", "minLength",
    "maxLength", "minimum", "maximum", "multipleOf", "minItems", "maxItems", "uniqueItems",
    "minProperties", "maxProperties", "title", "contentEncoding", "contentMediaType",
)  # fmt: skip


class Schemas:
    """Resolves the schemas of one document.

    References are followed up to some levels, and what lies deeper, or comes round in a circle, is
    described by its type alone. What was resolved once is shared and never changed.

    Args:
        references: of the document.
        answer: of what comes back, so what is only written is left out; otherwise what is only
            read is.
    """

    def __init__(self, references: References, *, answer: bool = False) -> None:
        self._references = references
        self._skipped = "writeOnly" if answer else "readOnly"
        self._made: dict[tuple[str, int], tuple[dict[str, Any], int]] = {}

    def resolve(self, schema: Any, base: str = "", nodes: int = _MOST_NODES) -> dict[str, Any]:
        """A schema with what its references stand for in their place.

        Args:
            schema: as the document has it.
            base: the document that it stands in.
            nodes: the most subschemas.

        Raises:
            NoriaError: a reference cannot be followed.
        """
        made: dict[str, Any] = {}
        for levels in range(_LEVELS, -1, -1):
            made, size = self._sized(schema, base, levels + 1, (), 0)
            if size <= nodes:
                break
        return dict(made)

    def _sized(
        self, given: Any, base: str, levels: int, above: tuple[str, ...], inline: int
    ) -> tuple[dict[str, Any], int]:
        """A schema, and of how many it is made.

        Args:
            given: as the document has it.
            base: the document that it stands in.
            levels: how many references are followed from here on.
            above: the references whose branches of `allOf` this is in.
            inline: how deep it is nested since the last reference.
        """
        if given is False:
            return {"not": {}}, 1
        if not isinstance(given, dict):
            return {}, 1
        node, base, reference = self._references.follow(given, base)
        if not isinstance(node, dict):
            return ({"not": {}} if node is False else {}), 1
        if reference is None:
            if inline > _MOST_INLINE:
                return _only_type(node), 1
            return self._resolved(node, base, levels, above, inline + 1)
        if levels <= 0:
            return _only_type(node), 1
        if above:
            if reference in above:
                return {}, 1
            return self._resolved(node, base, levels, (*above, reference), 0)
        key = reference, levels
        if key not in self._made:
            self._made[key] = self._resolved(node, base, levels - 1, (), 0, reference)
        made, size = self._made[key]
        said = given.get("description")
        if isinstance(said, str) and said != made.get("description"):
            made = {**made, "description": said}
        return made, size

    def _resolved(
        self, node: dict[str, Any], base: str, levels: int, above: tuple[str, ...], inline: int,
        own: str = "",
    ) -> tuple[dict[str, Any], int]:  # fmt: skip
        made: dict[str, Any] = {key: node[key] for key in _KEPT if key in node}
        size = 1
        self._bounds(node, made)

        def inside(given: Any, above: tuple[str, ...] = ()) -> dict[str, Any]:
            nonlocal size
            one, its = self._sized(given, base, levels, above, inline)
            size += its
            return one

        self._inside(node, made, base, inside)
        for key in ("oneOf", "anyOf"):
            branches = node.get(key)
            if isinstance(branches, list) and branches:
                made[key] = [inside(one) for one in branches]
        for one in node.get("allOf") or ():
            # What an object is made of belongs to it: it is no level further down.
            _merge(made, inside(one, (*above, own or "allOf")) if levels else _only_type(one))
        if node.get("nullable") is True:
            _allow_null(made)
        return made, size

    def _bounds(self, node: dict[str, Any], made: dict[str, Any]) -> None:
        """Exclusive bounds: a flag in 3.0, a number in 3.1."""
        for limit, exclusive in (
            ("minimum", "exclusiveMinimum"),
            ("maximum", "exclusiveMaximum"),
        ):
            value = node.get(exclusive)
            if value is True and limit in made:
                made[exclusive] = made.pop(limit)
            elif isinstance(value, (int, float)) and not isinstance(value, bool):
                made[exclusive] = value

    def _inside(
        self,
        node: dict[str, Any],
        made: dict[str, Any],
        base: str,
        inside: Callable[[Any], dict[str, Any]],
    ) -> None:  # fmt: skip
        properties = node.get("properties")
        if isinstance(properties, dict):
            kept = {}
            for name, one in properties.items():
                told, _, _ = self._references.follow(one, base)
                if isinstance(told, dict) and told.get(self._skipped) is True:
                    continue
                kept[name] = inside(one)
            made["properties"] = kept
            made.setdefault("type", "object")
        required = node.get("required")
        if isinstance(required, list):
            names = [one for one in required if isinstance(one, str)]
            if isinstance(properties, dict):
                hidden = properties.keys() - made["properties"].keys()
                names = [one for one in names if one not in hidden]
            made["required"] = names
        if "items" in node:
            made["items"] = inside(node["items"])
        more = node.get("additionalProperties")
        if isinstance(more, bool):
            made["additionalProperties"] = more
        elif isinstance(more, dict):
            made["additionalProperties"] = inside(more)


def _only_type(node: dict[str, Any]) -> dict[str, Any]:
    return {key: node[key] for key in ("type", "description", "title") if key in node}


def _merge(made: dict[str, Any], part: dict[str, Any]) -> None:
    """Add a branch of `allOf`: what both say must hold, so the narrower one stays."""
    for key, value in part.items():
        mine = made.get(key)
        if key == "properties" and isinstance(mine, dict):
            made[key] = {**mine, **value}
        elif key == "required" and isinstance(mine, list):
            made[key] = list(dict.fromkeys([*mine, *value]))
        elif key == "enum" and isinstance(mine, list):
            made[key] = [one for one in mine if one in value]
        elif key in ("minimum", "minLength", "minItems") and mine is not None:
            made[key] = max(mine, value)
        elif key in ("maximum", "maxLength", "maxItems") and mine is not None:
            made[key] = min(mine, value)
        elif key == "additionalProperties" and mine is not None:
            made[key] = value if mine is True else mine
        elif key in ("oneOf", "anyOf") and mine is not None:
            made.setdefault("allOf", []).append({key: value})
        else:
            made.setdefault(key, value)


def _allow_null(made: dict[str, Any]) -> None:
    kind = made.get("type")
    if isinstance(kind, str):
        made["type"] = [kind, "null"]
    if isinstance(made.get("enum"), list) and None not in made["enum"]:
        made["enum"] = [*made["enum"], None]


def is_satisfiable(schema: dict[str, Any]) -> bool:
    """Whether some value can meet a schema, as far as its plain limits tell."""
    if schema.get("not") == {} or schema.get("enum") == [] or schema.get("type") == []:
        return False
    for least, most in (
        ("minimum", "maximum"),
        ("minLength", "maxLength"),
        ("minItems", "maxItems"),
        ("minProperties", "maxProperties"),
    ):
        low, high = schema.get(least), schema.get(most)
        if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low > high:
            return False
    for key in ("oneOf", "anyOf"):
        branches = schema.get(key)
        if branches and not any(is_satisfiable(one) for one in branches):
            return False
    properties = schema.get("properties", {})
    return all(
        is_satisfiable(properties[name])
        for name in schema.get("required", ())
        if name in properties
    )
