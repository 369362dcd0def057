"""The key of a home's owner: of whoever may read the state folder.

Nothing that lies in the home is hidden from its owner, so the key is of every group and cleared
for everything.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from noria.types import EVERY_GROUP, Label

if TYPE_CHECKING:
    from noria.store.database import Database

__all__ = ["owner_key", "write_secret"]


def owner_key(home: Path, db: Database) -> Path:
    """The file that holds the owner's key (mode 0600); the key is made if it is missing or was
    revoked."""
    from noria.store.keys.keys import create_key, digest, find_key

    path = home / "local-key"
    if path.exists():
        found = find_key(db, digest(path.read_text().strip()))
        if found is not None and found.revoked_ns is None:
            return path
    _, secret = create_key(
        db,
        team="local",
        name="owner of this home",
        groups=(EVERY_GROUP,),
        clearance=Label.RESTRICTED,
    )
    write_secret(path, secret)
    return path


def write_secret(path: Path, secret: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(secret + "\n")
    fresh.replace(path)
