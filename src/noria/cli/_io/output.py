"""How the verbs speak: JSON and tables on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from noria.errors import NoriaError

__all__ = ["AsJson", "complain", "console", "emit", "iso", "note", "printable", "table"]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

# What a terminal would act on instead of showing: C0 but for tab and newline, DEL, and C1.
_CONTROLS = dict.fromkeys((*range(32), 127, *range(128, 160)), "�")
del _CONTROLS[9], _CONTROLS[10]
_CONTROLS[13] = ""


def emit(value: Any) -> None:
    """Print one JSON value."""
    import orjson

    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def note(text: str = "") -> None:
    """Say something to the person, not to the program that reads standard output."""
    typer.echo(text, err=True)


def complain(failure: NoriaError) -> None:
    """Say what went wrong and what to do about it."""
    typer.secho(f"noria: {printable(failure.message)}", err=True, fg="red")
    if failure.remedy:
        note(printable(failure.remedy))


def console() -> Console:
    """Standard output for tables and colour; plain, and never cut off, when it is a pipe."""
    from rich.console import Console

    return Console(
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
        width=None if sys.stdout.isatty() else 400,
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print rows under headings; `empty` is what to say, on standard error, without any.

    A heading that begins with `>` names a column of figures, which is aligned at the right.
    """
    from rich.table import Table
    from rich.text import Text

    lines = list(rows)
    if not lines:
        note(empty)
        return
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in columns:
        right = heading.startswith(">")
        shown.add_column(
            heading.removeprefix(">"), justify="right" if right else "left", no_wrap=right
        )
    for line in lines:
        shown.add_row(*(Text(printable(cell)) for cell in line))
    console().print(shown)


def printable(text: str) -> str:
    """Text from a model, a client or a file, with nothing in it that a terminal would obey."""
    return text.translate(_CONTROLS)


def iso(nanoseconds: int | None) -> str | None:
    """An instant as JSON has it: ISO 8601, UTC, with microseconds and a `Z`."""
    from noria.types import from_nanoseconds

    if nanoseconds is None:
        return None
    at = from_nanoseconds(nanoseconds).astimezone(UTC)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
