"""`noria init`: a small working application to begin with."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from noria.cli._io.output import note
from noria.errors import NoriaError

__all__ = ["init"]

_STARTER = Path(__file__).with_name("starter")
_NEXT = """
{cd}  noria serve app.py
  noria run app.py answer --in questions.jsonl --out answers.jsonl
  noria trace ls
"""


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write it.")] = Path(),
) -> None:
    """Write a small application: a support desk over a handbook, with a check and a batch."""
    files = sorted(
        path.relative_to(_STARTER)
        for path in _STARTER.rglob("*")
        if path.suffix in (".py", ".md", ".toml", ".jsonl")
    )
    there = [str(folder / path) for path in files if (folder / path).exists()]
    if there:
        raise NoriaError(
            f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} there already, and nothing "
            "was written.",
            "Name another folder: noria init DIR",
        )
    try:
        for path in files:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            # Another process may have been faster: then its file stays.
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as f:
                f.write((_STARTER / path).read_bytes())
    except OSError as failed:
        raise NoriaError(f"{folder} cannot be written: {failed.strerror}.") from None
    for path in files:
        typer.echo(folder / path)
    cd = "" if folder.resolve() == Path.cwd() else f"  cd {shlex.quote(str(folder))}\n"
    note(_NEXT.format(cd=cd).rstrip())
