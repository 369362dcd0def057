"""Answers of a type: the schema that the model is held to, and how its reply is read."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from noria.errors import NoriaError

__all__ = ["OutputSchema", "Unreadable"]

T = TypeVar("T")


class Unreadable(Exception):
    """A reply is not of the form; the message says why, for the model to read."""


class OutputSchema(Generic[T]):
    """A type that pydantic knows, as the form of an answer. One whose JSON is no object is asked
    for as `{"value": ...}`, since every provider knows how to make an object.

    Args:
        returns: the type.

    Raises:
        NoriaError: it has no form in JSON.
    """

    def __init__(self, returns: type[T]) -> None:
        from pydantic import PydanticUserError, TypeAdapter
        from pydantic.errors import PydanticSchemaGenerationError

        try:
            self._adapter: TypeAdapter[T] = TypeAdapter(returns)
            schema = self._adapter.json_schema()
        except (PydanticUserError, PydanticSchemaGenerationError) as unusable:
            raise NoriaError(
                f"returns: {returns!r} has no form in JSON: {str(unusable).splitlines()[0]}"
            ) from None
        self._wrapped = schema.get("type") != "object"
        self._schema = _as_object(schema) if self._wrapped else schema

    def response_format(self) -> dict[str, Any]:
        """The field of OpenAI's request."""
        schema = self._schema
        described: dict[str, Any] = {"name": "answer", "schema": schema}
        if _is_strict(schema):
            described["strict"] = True
        return {"type": "json_schema", "json_schema": described}

    def read(self, reply: str) -> T:
        """The answer.

        Raises:
            Unreadable: the reply is not of the form.
        """
        import orjson
        from pydantic import ValidationError

        try:
            value = orjson.loads(_unfenced(reply))
        except orjson.JSONDecodeError as malformed:
            raise Unreadable(f"it is not valid JSON: {malformed}") from None
        # Some servers take no notice of the schema, and their models give the bare value.
        if self._wrapped and isinstance(value, dict) and value.keys() == {"value"}:
            value = value["value"]
        try:
            return self._adapter.validate_python(value, strict=False)
        except ValidationError as invalid:
            problems = invalid.errors(include_url=False, include_context=False, include_input=False)
            lines = [
                f"{'.'.join(map(str, one['loc'])) or 'the answer'}: {one['msg']}"
                for one in problems[:20]
            ]
            raise Unreadable("; ".join(lines)) from None


def _as_object(schema: dict[str, Any]) -> dict[str, Any]:
    schema = dict(schema)
    definitions = schema.pop("$defs", None)
    made: dict[str, Any] = {
        "type": "object",
        "properties": {"value": schema},
        "required": ["value"],
        "additionalProperties": False,
    }
    if definitions:
        made["$defs"] = definitions
    return made


def _is_strict(schema: Any) -> bool:
    """Whether OpenAI's strict mode takes it: every object closed, every property required."""
    if isinstance(schema, list):
        return all(map(_is_strict, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" and "properties" in schema:
        required = set(schema.get("required", ()))
        if schema.get("additionalProperties") is not False or required != set(schema["properties"]):
            return False
    elif schema.get("type") == "object":
        return False
    return all(_is_strict(part) for name, part in schema.items() if name not in ("enum", "const"))


def _unfenced(reply: str) -> str:
    """What stands in a fenced block, where that is all there is."""
    text = reply.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text[text.index("\n") : -3]
    return text
