"""Schemas of OpenAPI as JSON Schema without references."""

from __future__ import annotations

from typing import Any

from noria.actions.catalogue.importing.openapi.references import References

__all__ = ["Schemas", "is_satisfiable"]

_MOST_NODES = 3_000
"""Of one operation's schema; what lies deeper is described by its type alone."""
_MOST_DEPTH = 12
_KEPT = (
    "type", "description", "enum", "const", "default", "format", "pattern", "minLength",
    "maxLength", "minimum", "maximum", "multipleOf", "minItems", "maxItems", "uniqueItems",
    "minProperties", "maxProperties", "title", "contentEncoding", "contentMediaType",
)  # fmt: skip


class Schemas:
    """Resolves the schemas of one document.

    Args:
        references: of the document.
    """

    def __init__(self, references: References) -> None:
        self._references = references

    def resolve(
        self, schema: Any, base: str = "", *, answer: bool = False, nodes: int = _MOST_NODES
    ) -> dict[str, Any]:
        """A schema with what its references stand for in their place.

        Args:
            schema: as the document has it.
            base: the document that it stands in.
            answer: it is what comes back, so what is only written is left out; otherwise what is
                only read is.
            nodes: the most subschemas.

        Raises:
            NoriaError: a reference cannot be followed.
        """
        return _Resolving(self._references, answer, nodes).schema(schema, base, (), 0)


class _Resolving:
    def __init__(self, references: References, answer: bool, nodes: int) -> None:
        self._references = references
        self._skipped = "writeOnly" if answer else "readOnly"
        self._left = nodes

    def schema(
        self, given: Any, base: str, above: tuple[str, ...], depth: int
    ) -> dict[str, Any]:  # fmt: skip
        if given is False:
            return {"not": {}}
        if not isinstance(given, dict):
            return {}
        node, base, reference = self._references.follow(given, base)
        if not isinstance(node, dict):
            return {"not": {}} if node is False else {}
        self._left -= 1
        again = reference is not None and reference in above
        if again or depth > _MOST_DEPTH or self._left < 0:
            return _only_type(node)
        if reference is not None:
            above = (*above, reference)
        made: dict[str, Any] = {key: node[key] for key in _KEPT if key in node}
        self._bounds(node, made)
        self._inside(node, made, base, above, depth)
        for key in ("oneOf", "anyOf"):
            branches = node.get(key)
            if isinstance(branches, list) and branches:
                made[key] = [self.schema(one, base, above, depth + 1) for one in branches]
        for one in node.get("allOf") or ():
            _merge(made, self.schema(one, base, above, depth + 1))
        if node.get("nullable") is True:
            _allow_null(made)
        return made

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
        self, node: dict[str, Any], made: dict[str, Any], base: str, above: tuple[str, ...],
        depth: int,
    ) -> None:  # fmt: skip
        properties = node.get("properties")
        if isinstance(properties, dict):
            kept = {}
            for name, one in properties.items():
                told, _, _ = self._references.follow(one, base)
                if isinstance(told, dict) and told.get(self._skipped) is True:
                    continue
                kept[name] = self.schema(one, base, above, depth + 1)
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
            made["items"] = self.schema(node["items"], base, above, depth + 1)
        more = node.get("additionalProperties")
        if isinstance(more, bool):
            made["additionalProperties"] = more
        elif isinstance(more, dict):
            made["additionalProperties"] = self.schema(more, base, above, depth + 1)


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
