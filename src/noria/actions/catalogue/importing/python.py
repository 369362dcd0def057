"""Functions of a Python module as operations, read from its text: nothing of it is run."""

from __future__ import annotations

import ast
import importlib.machinery
import re
import sys
from pathlib import Path
from typing import Any

from noria.actions.catalogue.importing.effects import effect_of_name
from noria.actions.catalogue.importing.names import Names
from noria.actions.operation import Effect, Operation
from noria.errors import NoriaError

__all__ = ["read_python"]

_PLAIN = {
    "str": "string",
    "bytes": "string",
    "Path": "string",
    "Decimal": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "None": "null",
}
_ARRAYS = ("list", "List", "Sequence", "Iterable", "Collection", "tuple", "Tuple", "set", "Set",
           "frozenset", "Iterator")  # fmt: skip
_OBJECTS = ("dict", "Dict", "Mapping", "MutableMapping", "TypedDict")
_TEXT_FORMS = {"datetime": "date-time", "date": "date", "time": "time", "UUID": "uuid"}
_GOOGLE = re.compile(r"^\s*(?:Args|Arguments|Parameters):\s*$", re.MULTILINE)
_ENTRY = re.compile(r"^(\s+)\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")
_SPHINX = re.compile(
    r"^\s*:param\s+(?:[\w\[\], .|]+\s+)?(\w+):\s*(.*(?:\n(?!\s*:).+)*)", re.MULTILINE
)
_NUMPY = re.compile(r"^\s*Parameters\s*\n\s*-{3,}\s*$", re.MULTILINE)


def read_python(name: str, source: str) -> tuple[list[Operation], list[tuple[str, str]]]:
    """The public functions of a module, and the methods of its public classes that need no object.

    Args:
        name: of the catalogue.
        source: the path of a file, or the dotted name of a module that can be imported.

    Returns:
        The operations, and those that cannot be called, each with the reason.

    Raises:
        NoriaError: there is no such module, or it is no Python.
    """
    path, module = _locate(source)
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as wrong:
        raise NoriaError(f"{path} is no Python: {wrong}.") from None
    except OSError as failed:
        raise NoriaError(f"{path} cannot be read: {failed.strerror}.") from None
    public = _public(tree)
    found, lost, names = [], [], Names()
    for qualified, node in _functions(tree):
        if public is not None and qualified.partition(".")[0] not in public:
            continue
        try:
            one = _operation(name, names.take(qualified), module, qualified, node)
        except _Unusable as why:
            lost.append((qualified, str(why)))
            continue
        found.append(one)
    return found, lost


class _Unusable(Exception):
    pass


def _locate(source: str) -> tuple[Path, str]:
    """The file of a module and its dotted name. Parents of a module are not run either."""
    if source.endswith(".py") or "/" in source:
        path = Path(source)
        path = path / "__init__.py" if path.is_dir() else path
        if not path.is_file():
            raise NoriaError(f"There is no file {source}.", "Name a file or a module.")
        return path, path.stem
    where: Any = sys.path
    found = None
    for part in source.split("."):
        found = importlib.machinery.PathFinder.find_spec(part, where) if where else None
        if found is None:
            raise NoriaError(f"There is no module {source}.", "Install it, or name its file.")
        where = found.submodule_search_locations
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        raise NoriaError(f"The module {source} has no text in Python.", "Name one that has.")
    return Path(found.origin), source


def _public(tree: ast.Module) -> set[str] | None:
    """What `__all__` names; None where there is none."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(one, ast.Name) and one.id == "__all__" for one in targets):
            assert isinstance(node, ast.Assign)
            try:
                return {str(one) for one in ast.literal_eval(node.value)}
            except (ValueError, TypeError):
                return None
    return None


def _functions(tree: ast.Module) -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    found: list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]] = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if not node.name.startswith("_"):
                found.append((node.name, node))
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                if not isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    continue
                marks = {one.id for one in inner.decorator_list if isinstance(one, ast.Name)}
                if not inner.name.startswith("_") and "staticmethod" in marks:
                    found.append((f"{node.name}.{inner.name}", inner))
    return found


def _operation(
    catalogue: str,
    name: str,
    module: str,
    qualified: str,
    node: ast.FunctionDef | ast.AsyncFunctionDef,
) -> Operation:
    documentation = ast.get_docstring(node) or ""
    told = _told(documentation)
    properties: dict[str, Any] = {}
    required: list[str] = []
    given = node.args
    plain = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(given.defaults))
    pairs = [
        *zip(plain, [*defaults, *given.defaults], strict=True),
        *zip(given.kwonlyargs, given.kw_defaults, strict=True),
    ]
    for one, default in pairs:
        schema = _schema(one.annotation)
        if one.arg in told:
            schema["description"] = told[one.arg]
        if default is None:
            required.append(one.arg)
        else:
            _set_default(schema, default)
        properties[one.arg] = schema
    effect = effect_of_name(qualified.rpartition(".")[2])
    positional = [one.arg for one in given.posonlyargs]
    binding: dict[str, Any] = {"module": module, "function": qualified}
    if positional:
        binding["positional"] = positional
    if isinstance(node, ast.AsyncFunctionDef):
        binding["async"] = True
    return Operation(
        catalogue,
        name,
        " ".join(documentation.partition("\n\n")[0].split())[:300] or qualified,
        {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": given.kwarg is not None,
        },
        effect,
        "python",
        documentation,
        returns=_schema(node.returns) if node.returns is not None else {},
        idempotent=effect is Effect.READ,
        binding=binding,
    )


def _set_default(schema: dict[str, Any], default: ast.expr) -> None:
    try:
        value = ast.literal_eval(default)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return
    if value is None or isinstance(value, (str, int, float, bool, list, dict)):
        schema["default"] = value
        kind = {bool: "boolean", int: "integer", float: "number", str: "string"}.get(type(value))
        if kind and not schema.keys() & {"type", "enum", "anyOf"}:
            schema["type"] = kind


def _schema(node: ast.expr | None) -> dict[str, Any]:
    """A schema of an annotation; {} where it says nothing that JSON knows."""
    if node is None:
        return {}
    if isinstance(node, ast.Constant):
        if node.value is None:
            return {"type": "null"}
        if isinstance(node.value, str):
            try:
                return _schema(ast.parse(node.value, mode="eval").body)
            except (SyntaxError, ValueError, RecursionError):
                return {}
        return {}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _either([_schema(node.left), _schema(node.right)])
    if isinstance(node, ast.Subscript):
        return _of_generic(_last(node.value), node.slice)
    name = _last(node)
    if name in _TEXT_FORMS:
        return {"type": "string", "format": _TEXT_FORMS[name]}
    if name in _PLAIN:
        return {"type": _PLAIN[name]}
    if name in _ARRAYS:
        return {"type": "array"}
    return {"type": "object"} if name in _OBJECTS else {}


def _of_generic(name: str, inside: ast.expr) -> dict[str, Any]:
    parts = list(inside.elts) if isinstance(inside, ast.Tuple) else [inside]
    if name == "Literal":
        values = [one.value for one in parts if isinstance(one, ast.Constant)]
        kept = [one for one in values if isinstance(one, (str, int, bool)) or one is None]
        return {"enum": kept} if len(kept) == len(parts) else {}
    if name == "Optional":
        return _either([_schema(parts[0]), {"type": "null"}])
    if name == "Union":
        return _either([_schema(one) for one in parts])
    if name == "Annotated":
        made = _schema(parts[0])
        for one in parts[1:]:
            if isinstance(one, ast.Constant) and isinstance(one.value, str):
                made.setdefault("description", one.value)
        return made
    if name in _ARRAYS:
        return {"type": "array", "items": _schema(parts[0])}
    if name in _OBJECTS:
        made = {"type": "object"}
        if len(parts) == 2:
            made["additionalProperties"] = _schema(parts[1])
        return made
    return {}


def _either(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    flat = [one for schema in schemas for one in schema.get("anyOf", [schema])]
    return {"anyOf": flat} if all(flat) else {}


def _last(node: ast.expr) -> str:
    """The last part of a dotted name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _told(documentation: str) -> dict[str, str]:
    """What a docstring says of each parameter, in Google's, Sphinx's or NumPy's writing."""
    told = {name: " ".join(text.split()) for name, text in _SPHINX.findall(documentation)}
    google = _GOOGLE.search(documentation)
    if google:
        told |= _google(documentation[google.end() :])
    numpy = _NUMPY.search(documentation)
    if numpy:
        told |= _numpy(documentation[numpy.end() :])
    return told


def _google(text: str) -> dict[str, str]:
    told: dict[str, str] = {}
    indent, current = None, ""
    for line in text.splitlines():
        if not line.strip():
            continue
        entry = _ENTRY.match(line)
        if entry and (indent is None or len(entry[1]) == indent):
            indent, current = len(entry[1]), entry[2]
            told[current] = entry[3].strip()
        elif indent is not None and len(line) - len(line.lstrip()) > indent:
            told[current] = f"{told[current]} {line.strip()}".strip()
        elif not entry:
            break
    return told


def _numpy(text: str) -> dict[str, str]:
    told: dict[str, str] = {}
    current, lines = "", text.strip("\n").splitlines()
    least = min((len(one) - len(one.lstrip()) for one in lines if one.strip()), default=0)
    for place, line in enumerate(lines):
        following = lines[place + 1] if place + 1 < len(lines) else ""
        if set(following.strip()) == {"-"}:
            break
        if len(line) - len(line.lstrip()) == least and line.strip():
            current = line.partition(":")[0].strip().lstrip("*")
            told[current] = ""
        elif current and line.strip():
            told[current] = f"{told[current]} {line.strip()}".strip()
    return told
