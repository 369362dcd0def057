"""Writes docs/reference/cli.md and docs/reference/configuration.md from the code.

    python -m tools.reference

`tests/docs` fails when a page is not what this gives.
"""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

import noria.config
from noria.cli.app import app

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "reference"
GENERATED = "<!-- Written by `python -m tools.reference`; change the code and run it again. -->\n"

VARIABLES = {
    "NORIA_HOME": "The state folder itself; by default `.noria` beside `noria.toml`.",
    "NORIA_CONFIG": "The configuration file; by default it is sought upwards from the working "
    "folder.",
    "NORIA_REVISION": "The revision that a deployed application is of; its traces name it. Set by "
    "`noria deploy`.",
    "NORIA_GATEWAY_KEY": "The key of a deployed application for the gateway of its target.",
    "NORIA_ADMIN_KEY": "The first admin key, for installs without a person: any text of 20 "
    "characters or more. Without it one is made at the first start and shown once.",
    "NORIA_KEY": "The key that `noria chat` and `noria model test` call with; without it, the "
    "owner of the home.",
    "NORIA_AGENT_KEY": "Set by `noria agent` for the agent that it starts: the key that it calls "
    "with.",
    "NORIA_FORBID_REAL_REQUESTS": "Set to anything, it keeps noria from every model server that is "
    "not on this machine; `noria.testing.forbid_real_requests()` sets it.",
    "XDG_CACHE_HOME": "Weights are kept in its folder `noria`, for all projects; by default "
    "`~/.cache`.",
}
"""What is set by the environment alone."""


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Each generated page by its file name."""
    return {"cli.md": command_line(), "configuration.md": configuration()}


def command_line() -> str:
    """The page about every verb."""
    root = typer.main.get_command(app)
    parts = [
        GENERATED,
        "# Command line\n",
        "Every verb that lists or reports takes `--json`: a list is a bare JSON array, standard "
        "output carries nothing else, amounts ending in `_nano` are integer nano-dollars (1 USD = "
        "1,000,000,000), and times are ISO 8601 in UTC. Exit codes: 0 done, 1 an expected failure "
        "(the message is on standard error), 2 the command line cannot be understood, 130 "
        "interrupted.\n",
    ]
    for name, command in _verbs(root, "noria"):
        parts.append(f"## {name}\n")
        parts.append(_paragraphs(command.help or ""))
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option"]
        usage = [name, "[OPTIONS]" if options else "", *(_metavar(p) for p in arguments)]
        parts.append(f"```text\n{' '.join(filter(None, usage))}\n```\n")
        rows = [(f"`{_metavar(p)}`", _argument_help(p), "") for p in arguments]
        rows += [
            (_flags(p, command), p.help or "", _default(p)) for p in options if p.name != "help"
        ]
        if rows:
            parts.append(_table(("option", "meaning", "default"), rows))
    return "\n".join(parts)


def _verbs(command: Any, name: str) -> list[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        return [(name, command)]
    return [
        pair for verb, child in command.commands.items() for pair in _verbs(child, f"{name} {verb}")
    ]


def _paragraphs(text: str) -> str:
    blocks = textwrap.dedent(text).strip().split("\n\n")
    return "\n\n".join(" ".join(block.split()) for block in blocks) + "\n"


def _metavar(argument: Any) -> str:
    shown = argument.metavar or argument.name.upper()
    shown = shown.strip("[].")
    shown += "..." if argument.nargs == -1 else ""
    return shown if argument.required else f"[{shown}]"


def _argument_help(argument: Any) -> str:
    return argument.help or ""


def _flags(option: Any, command: Any) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    if option.is_flag:
        return names
    shown, _ = option.get_help_record(typer.Context(command))
    if choices := re.search(r"<(.+)>", shown):
        return f"{names} `{choices[1]}`"
    return f"{names} `{option.metavar or option.name.upper()}`"


def _default(option: Any) -> str:
    value = option.default
    if option.is_flag or value is None:
        return ""
    return f"`{getattr(value, 'value', value)}`"


@dataclass(frozen=True)
class Setting:
    """A key of the configuration, as its class declares it."""

    name: str
    type: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """A table of the configuration."""

    header: str
    section: str
    meaning: str
    settings: list[Setting]


_TYPES = {
    "Path": "path",
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "BudgetText": "budget",
    "LabelText": "label",
    "list[str]": "list of texts",
    "list[float]": "list of numbers",
    "tuple[str, ...]": "list of texts",
    "dict[str, str]": "table of texts",
    "dict[str, BudgetText]": "table of budgets",
    "Wire | list[Wire]": "wire, or list of wires",
}
_HEADERS = {
    "providers": "[providers.NAME]",
    "prices": '[prices."PROVIDER:MODEL"]',
    "models": "[models.NAME]",
    "teams": "[teams.NAME]",
    "users": "[users.NAME]",
}


def tables() -> list[Table]:
    """Every table of `noria.toml`, read from the source of `noria.config`."""
    tree = ast.parse(Path(noria.config.__file__).read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    found = []
    for field in _fields(classes["Config"]):
        section = field.type.removeprefix("dict[str, ").removesuffix("]")
        if section not in classes:
            continue  # home and source, which no file can set
        meaning = ast.get_docstring(classes[section]) or ""
        settings = [
            Setting(one.name, _type(one.type), one.default, one.meaning)
            for one in _fields(classes[section])
        ]
        header = _HEADERS.get(field.name, f"[{field.name}]")
        found.append(Table(header, field.name, " ".join(meaning.split()), settings))
    return found


def _fields(node: ast.ClassDef) -> list[Setting]:
    fields = []
    for position, statement in enumerate(node.body):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        after = node.body[position + 1] if position + 1 < len(node.body) else None
        said = after.value if isinstance(after, ast.Expr) else None
        meaning = said.value if isinstance(said, ast.Constant) else ""
        fields.append(
            Setting(
                statement.target.id,
                ast.unparse(statement.annotation),
                _declared_default(node.name, statement.target.id),
                " ".join(str(meaning).split()),
            )
        )
    return fields


def _declared_default(section: str, name: str) -> str:
    field = getattr(noria.config, section).model_fields[name]
    if field.is_required():
        return "must be set"
    value = field.get_default(call_default_factory=True)
    if value is None or value == {}:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    # A label is an integer too, and is written as a text.
    return f"`{value}`" if type(value) in (int, float) else f'`"{value}"`'


def _type(annotation: str) -> str:
    if annotation.startswith("Literal["):
        choices = annotation.removeprefix("Literal[").removesuffix("]").replace("'", '"')
        return choices.replace(", ", " or ")
    return _TYPES[annotation.removesuffix(" | None")]


def configuration() -> str:
    """The page about every setting."""
    variables = {at: name for name, at in noria.config.variables().items()}
    # Where a setting has a short name too, that is the one people type.
    variables |= {at: name for name, at in noria.config._SHORT.items()}
    parts = [
        GENERATED,
        "# Configuration\n",
        "A flag of `noria serve` wins over the environment, the environment over `noria.toml`, and "
        "the file over the defaults. `noria.toml` is sought in the working folder and its parents "
        "(a `pyproject.toml` with `[tool.noria]` serves too). A key that does not exist is refused "
        "with its line.\n",
        'A *budget* is `"AMOUNT USD"` with `/day`, `/week` or `/month`, or nothing for a total. '
        'A *label* is `"public"`, `"internal"`, `"confidential"` or `"restricted"`.\n',
    ]
    for table in tables():
        parts.append(f"## {table.header}\n")
        parts.append(table.meaning + "\n")
        rows = [
            (
                f"`{one.name}`",
                one.type,
                one.default,
                one.meaning
                + (
                    f" `{variables[table.section, one.name]}`"
                    if (table.section, one.name) in variables
                    else ""
                ),
            )
            for one in table.settings
        ]
        parts.append(_table(("key", "type", "default", "meaning and variable"), rows))
    parts.append("## Environment alone\n")
    parts.append(
        _table(("variable", "meaning"), [(f"`{name}`", text) for name, text in VARIABLES.items()])
    )
    parts.append(
        "A provider's key keeps the name that everybody knows (`OPENAI_API_KEY`, ...), or has the "
        "name that `api_key_env` gives it.\n"
    )
    return "\n".join(parts)


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [headings, tuple("---" for _ in headings), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"


if __name__ == "__main__":
    main()
