"""Files of JSON objects, one a line: what cannot be read is refused by its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from noria.errors import ConfigError

__all__ = ["objects_of", "read_file"]


def read_file(path: Path) -> bytes:
    """All that a file holds.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes().removeprefix(b"\xef\xbb\xbf")  # a mark that editors leave
    except OSError as unreadable:
        raise ConfigError(f"{path} cannot be read: {unreadable.strerror}.") from None


def objects_of(
    path: Path, raw: bytes, what: str = "an object"
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line's object with the line's number, from 1; empty lines are left out.

    Args:
        path: the file, for messages.
        raw: what it holds.
        what: what a line is to be.

    Raises:
        ConfigError: a line is not that; the message names it.
    """
    for number, line in enumerate(raw.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as malformed:
            raise ConfigError(f"{path}, line {number} is not JSON: {malformed}") from None
        if not isinstance(row, dict):
            raise ConfigError(f"{path}, line {number} is not {what}.")
        yield number, row
