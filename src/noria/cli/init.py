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
_LEARN = Path(__file__).with_name("learn")
_NEXT = """
{cd}  noria serve app.py
  noria run app.py answer --in questions.jsonl --out answers.jsonl
  noria trace ls
"""


_NEXT_LEARN = """
{cd}  noria data clean conversations.json -o rows.jsonl
  noria tune run rows.jsonl --name mill
  noria chat -m local:mill
"""


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write it.")] = Path(),
    learn: Annotated[
        bool,
        typer.Option("--learn", help="Write conversations to learn from, and a README, instead."),
    ] = False,
) -> None:
    """Write a small application: a support desk over a handbook, with a check and a batch."""
    source = _LEARN if learn else _STARTER
    files = sorted(
        path.relative_to(source)
        for path in source.rglob("*")
        if path.suffix in (".py", ".md", ".toml", ".json", ".jsonl")
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
                f.write((source / path).read_bytes())
    except OSError as failed:
        raise NoriaError(f"{folder} cannot be written: {failed.strerror}.") from None
    for path in files:
        typer.echo(folder / path)
    cd = "" if folder.resolve() == Path.cwd() else f"  cd {shlex.quote(str(folder))}\n"
    note((_NEXT_LEARN if learn else _NEXT).format(cd=cd).rstrip())
