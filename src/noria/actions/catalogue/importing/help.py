"""Commands as operations, from what their `--help` prints.

The command is run with `--help` and nothing else, without a shell, without input, for ten seconds
at most; so are its subcommands, two levels deep.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import Any

from noria.actions.catalogue.importing.effects import effect_of_name
from noria.actions.catalogue.importing.names import Names
from noria.actions.operation import Effect, Operation
from noria.errors import NoriaError

__all__ = ["read_help", "read_help_text"]

_SECONDS = 10.0
_MOST_CHARACTERS = 200_000
_MOST_COMMANDS = 300
_LEVELS = 2
_FRAME = re.compile(r"[│╭╮╰╯─┃━┏┓┗┛|]")
_HEADING = re.compile(r"^\s{0,2}([A-Za-z][\w /-]{0,40}?)(?::| ──*.*)?\s*$")
_OPTION = re.compile(
    r"^\s{1,12}\*?\s*(?:(?P<short>-\w)(?:[ =](?P<value1>[A-Z<\[][^\s,]*))?(?:,\s*|\s+(?=--)))?"
    r"(?P<long>--[A-Za-z][\w-]*)"
    r"(?:(?:[ =]|\[=)(?P<value>(?:<[^>]+>|\[[^\]]+\]|\{[^}]+\}|[A-Z][A-Z0-9_|:.-]*|"
    r"(?:string|int|float|number|strings|duration|path|file|stringArray|list|text)\b)))?\]?"
    r"(?:\s{2,}(?P<help>.*)|\s*)$"
)
_SHORT_ONLY = re.compile(
    r"^\s{1,12}(?P<short>-\w)(?:[ =](?P<value>[A-Z<][^\s]*))?(?:\s{2,}(?P<help>.*)|\s*)$"
)
_COMMAND = re.compile(
    r"^\s{1,8}(?P<name>[a-z][\w-]*)(?:,\s*[\w-]+)*\*?(?:\s{2,}(?P<help>\S.*)|\s*)$"
)
_POSITIONAL = re.compile(r"^\s{1,8}\*?\s*(?P<name>[A-Za-z][\w-]*)(?:\s{2,}(?P<help>\S.*)|\s*)$")
_CHOICES = re.compile(r"[{\[<]([\w.+-]+(?:[,|][\w.+-]+)+)[}\]>]")
_TYPES = {"int": "integer", "integer": "integer", "number": "number", "float": "number",
          "n": "integer", "num": "integer", "count": "integer", "port": "integer"}  # fmt: skip
_USAGE_ARGUMENT = re.compile(r"(?<![\w-])(\[?)<?([A-Z][A-Z0-9_-]+)>?(\.{3})?(\]?)(\.{3})?")
_USAGE_WORDS = ("OPTIONS", "OPTION", "COMMAND", "ARGS", "FLAGS", "SUBCOMMAND", "COMMANDS")


def read_help(name: str, source: str) -> tuple[list[Operation], list[tuple[str, str]]]:
    """The subcommands of a command as operations; the command itself where it has none.

    Args:
        name: of the catalogue.
        source: the command line, such as `git` or `python -m http.server`.

    Returns:
        The operations, and those whose help could not be read, each with the reason.

    Raises:
        NoriaError: the command cannot be run, or prints no help.
    """
    try:
        argv = shlex.split(source)
    except ValueError as wrong:
        raise NoriaError(f"{source!r} is no command line: {wrong}.") from None
    if not argv:
        raise NoriaError("The command line is empty.", "Name a command, such as git.")
    found: list[Operation] = []
    lost: list[tuple[str, str]] = []
    names = Names()

    def visit(words: list[str], level: int) -> None:
        if len(found) + len(lost) >= _MOST_COMMANDS:
            return
        told = _Help(_printed(words))
        if level < _LEVELS and told.commands:
            for sub in told.commands:
                if sub != "help":
                    try:
                        visit([*words, sub], level + 1)
                    except NoriaError as failed:
                        lost.append((" ".join([*words, sub]), failed.message))
            return
        found.append(told.operation(name, names, words, argv))

    visit(argv, 0)
    return found, lost


def read_help_text(name: str, argv: list[str], text: str) -> Operation:
    """One command as an operation, from a text that its `--help` printed."""
    return _Help(text).operation(name, Names(), argv, argv)


def _printed(words: list[str]) -> str:
    environment = {
        key: os.environ[key] for key in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if key in os.environ
    }
    environment |= {"COLUMNS": "160", "NO_COLOR": "1", "TERM": "dumb", "PAGER": "cat"}
    try:
        done = subprocess.run(
            [*words, "--help"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS,
            env=environment, check=False,
        )  # fmt: skip
    except (OSError, ValueError) as failed:
        raise NoriaError(
            f"{words[0]} cannot be run: {failed}.", "Name a command in PATH."
        ) from None
    except subprocess.TimeoutExpired:
        raise NoriaError(f"{' '.join(words)} --help did not end in {_SECONDS:.0f} s.") from None
    text = (done.stdout or done.stderr).decode("utf-8", "replace")[:_MOST_CHARACTERS]
    if not re.search(r"(?i)usage|--\w|options", text):
        raise NoriaError(f"{' '.join(words)} --help prints no help.")
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]|.\x08", "", text)


class _Help:
    """What a help text says: options, positional arguments, subcommands."""

    def __init__(self, text: str) -> None:
        self.text = _FRAME.sub(" ", text)
        self.options: dict[str, dict[str, Any]] = {}
        self.flags: dict[str, str] = {}
        self.positional: dict[str, str] = {}
        self.commands: dict[str, str] = {}
        self._read()

    def _read(self) -> None:
        section, last = "", None
        for line in self.text.splitlines():
            heading = _HEADING.match(line)
            if heading and not line.startswith("   ") and _OPTION.match(line) is None:
                section, last = heading[1].strip().lower(), None
                continue
            option = _OPTION.match(line) or _SHORT_ONLY.match(line)
            if option is not None:
                last = self._option(option.groupdict())
            elif "command" in section and (one := _COMMAND.match(line)):
                self.commands[one["name"]] = one["help"] or ""
                last = None
            elif ("argument" in section or "positional" in section) and (
                one := _POSITIONAL.match(line)
            ):
                self.positional[one["name"].lower()] = one["help"] or ""
            elif last is not None and line.startswith("      ") and line.strip():
                told = self.options[last]
                told["description"] = f"{told.get('description', '')} {line.strip()}".strip()

    def _option(self, parts: dict[str, str | None]) -> str | None:
        flag = parts.get("long") or parts["short"] or ""
        name = flag.lstrip("-").replace("-", "_")
        if name in ("help", "h", "version"):
            return None
        value = parts.get("value") or parts.get("value1")
        told = (parts.get("help") or "").strip()
        schema: dict[str, Any] = {"type": "boolean"}
        if value is not None:
            schema = {"type": _TYPES.get(value.strip("<>[]").lower(), "string")}
        choices = _CHOICES.search(value or "") or (_CHOICES.search(told) if value else None)
        if choices:
            schema = {"enum": re.split(r"[,|]", choices[1])}
        if told:
            schema["description"] = told
        self.options[name] = schema
        self.flags[name] = flag
        return name

    def operation(
        self, catalogue: str, names: Names, words: list[str], command: list[str]
    ) -> Operation:
        """The command as an operation."""
        own = words[len(command) :] or [command[-1].rsplit("/", 1)[-1]]
        properties = dict(self.options)
        required = [name for name, one in self.options.items() if _is_needed(one)]
        order: list[str] = []
        for name, needed, several in self._usage_arguments():
            schema: dict[str, Any] = {"type": "string"}
            if several:
                schema = {"type": "array", "items": {"type": "string"}}
            if self.positional.get(name):
                schema["description"] = self.positional[name]
            key = name if name not in properties else f"{name}_argument"
            properties[key] = schema
            order.append(key)
            if needed:
                required.append(key)
        effect = effect_of_name("_".join(own), unknown=Effect.CHANGE)
        return Operation(
            catalogue,
            names.take("_".join(own)),
            self._summary() or " ".join(words),
            {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": False,
            },
            effect,
            "process",
            self.text.strip()[:8_000],
            idempotent=effect is Effect.READ,
            binding={"argv": words, "flags": self.flags, "positional": order},
        )

    def _usage_arguments(self) -> list[tuple[str, bool, bool]]:
        """Positional arguments: name, whether needed, whether several."""
        usage = re.search(r"(?is)usage:?\s*(.*?)(?:\n\s*\n|\Z)", self.text)
        found: dict[str, tuple[str, bool, bool]] = {}
        line = usage[1] if usage else ""
        # What belongs to an option is no argument of its own.
        line = re.sub(
            r"\[?-{1,2}[\w-]+(?:[ =](?:<[^>]+>|\{[^}]*\}|[A-Z][A-Z0-9_-]*))?\]?", " ", line
        )
        for open_, name, dots, close, more in _USAGE_ARGUMENT.findall(line):
            if name in _USAGE_WORDS:
                continue
            found[name.lower()] = (name.lower().replace("-", "_"), not open_, bool(dots or more))
            del close
        for name in self.positional:
            if name not in found and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", line):
                found[name] = (name.replace("-", "_"), f"[{name}" not in line, False)
        return list(found.values())

    def _summary(self) -> str:
        for block in re.split(r"\n\s*\n", self.text):
            plain = " ".join(block.split())
            if plain and not re.match(r"(?i)usage|options|arguments|commands|positional", plain):
                return plain[:300]
        return ""


def _is_needed(schema: dict[str, Any]) -> bool:
    return bool(re.search(r"(?i)[\[(]required[\])]", schema.get("description", "")))
