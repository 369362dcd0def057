"""`noria store`: where the records live."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noria.cli._io.output import AsJson, emit, note
from noria.errors import ConfigError

if TYPE_CHECKING:
    from noria.config import Config

__all__ = ["app"]

app = typer.Typer(help="Where the records live.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Where the records live."""


@app.command()
def move(
    to: Annotated[
        str, typer.Option("--to", help="postgresql://user@host/name; an empty database.")
    ],
    as_json: AsJson = False,
) -> None:
    """Copy this home's records from SQLite to Postgres while it serves, verify them, and switch.

    After a kill, at whatever moment, the same command goes on. The old file stays as it is.
    """
    from noria.cli._io.progress import watched
    from noria.config import load
    from noria.store import Database
    from noria.store.moving import move_store

    config = load()
    if config.store.url is not None:
        raise ConfigError(
            "store.url is set, so this home's records are not in SQLite of the home.",
            "Take store.url out of noria.toml and NORIA_STORE_URL out of the environment.",
        )
    if not to.startswith(("postgresql://", "postgres://")):
        raise ConfigError("--to: a store is moved to postgresql://user@host/name.")
    if not config.store_url.startswith("sqlite"):
        note("The records of this home were moved already.")
        _restart(config)
        return
    source = Database(config.store_url, config.home, sync=config.journal.sync)
    target = Database(to, config.home)
    try:
        with watched("records") as progress:
            moved = move_store(source, target, lambda: _switch(config, to), progress)
    finally:
        source.close()
        target.close()
    _restart(config)
    if as_json:
        emit(
            {
                "rows": moved.rows,
                "sums_nano": moved.sums,
                "seconds": round(moved.seconds, 3),
                "held_seconds": round(moved.held_seconds, 3),
            }
        )
        return
    note(
        f"{sum(moved.rows.values()):,} rows moved in {moved.seconds:.1f} s and verified: counts "
        f"and sums are the same. Writers waited {moved.held_seconds:.1f} s."
    )


def _switch(config: Config, url: str) -> None:
    """Make the home use another database, whole or not at all. The address may hold a password."""
    fresh = config.home / "store-url.new"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(url)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(config.home / "store-url")


def _restart(config: Config) -> None:
    """End the processes of a running server, which its supervisor starts again on the new database.
    Each finishes what it is answering."""
    import orjson

    try:
        serving = orjson.loads((config.home / "serve.json").read_bytes())["pid"]
        children = Path(f"/proc/{serving}/task/{serving}/children").read_text().split()
    except (OSError, ValueError, KeyError):
        return
    for child in children:
        try:
            os.kill(int(child), signal.SIGTERM)
        except ProcessLookupError:
            continue
