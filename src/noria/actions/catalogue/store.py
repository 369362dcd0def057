"""The catalogues of a home: one file each, replaced whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import orjson

from noria.actions.catalogue.catalogue import Catalogue, Part
from noria.actions.catalogue.meaning import Meaning, local_encoder
from noria.actions.catalogue.shipped import SHIPPED_NAMES, shipped_parts
from noria.actions.catalogue.stored import Origin, StoredPart
from noria.errors import NoriaError, NotFound
from noria.types import Principal

__all__ = ["CatalogueStore", "check_name", "open_catalogue", "open_meaning"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_KEPT_VERSIONS = 50


class CatalogueStore:
    """What was added to a home, and what comes with noria.

    Args:
        home: the state folder.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "catalogues"

    def names(self) -> list[str]:
        """Of those that were added."""
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def all(self) -> list[StoredPart]:
        """All of them, by name."""
        shipped = [StoredPart(one, Origin("shipped", "noria")) for one in shipped_parts()]
        found = [*shipped, *(self.get(name) for name in self.names())]
        return sorted(found, key=lambda one: one.part.name)

    def get(self, name: str) -> StoredPart:
        """One of them.

        Raises:
            NotFound: there is none of this name.
            NoriaError: its file is damaged.
        """
        for part in shipped_parts():
            if part.name == name:
                return StoredPart(part, Origin("shipped", "noria"))
        check_name(name)
        path = self._folder / f"{name}.json"
        try:
            return StoredPart.from_json(orjson.loads(path.read_bytes()))
        except FileNotFoundError:
            raise NotFound(
                f"There is no catalogue {name!r}.", "See which there are: noria act catalogue ls"
            ) from None
        except (ValueError, KeyError, TypeError) as damaged:
            raise NoriaError(
                f"The catalogue {name} cannot be read: {path} is damaged ({damaged}).",
                f"Remove it (noria act catalogue rm {name}) and add it again.",
            ) from None

    def put(self, stored: StoredPart) -> StoredPart:
        """Keep one, in the place of the one of this name.

        Returns:
            It, with the versions that were there before.

        Raises:
            NoriaError: the name cannot be used.
        """
        name = stored.part.name
        check_name(name)
        if name in SHIPPED_NAMES:
            raise NoriaError(
                f"The catalogue {name} comes with noria and is not replaced.",
                "Choose another name.",
            )
        versions: tuple[tuple[str, str], ...] = ()
        if (self._folder / f"{name}.json").exists():
            before = self.get(name)
            versions = before.versions
            if before.part.version != stored.part.version:
                versions = ((before.part.version, before.origin.at), *versions)
        kept = StoredPart(stored.part, stored.origin, stored.lost, versions[:_KEPT_VERSIONS])
        self._write(self._folder / f"{name}.json", orjson.dumps(kept.as_json()))
        return kept

    def remove(self, name: str) -> None:
        """Remove one. Plans that were made from it can no longer be applied.

        Raises:
            NotFound: there is none of this name.
            NoriaError: it comes with noria.
        """
        if name in SHIPPED_NAMES:
            raise NoriaError(f"The catalogue {name} comes with noria and cannot be removed.")
        check_name(name)
        try:
            (self._folder / f"{name}.json").unlink()
        except FileNotFoundError:
            raise NotFound(
                f"There is no catalogue {name!r}.", "See which there are: noria act catalogue ls"
            ) from None

    def parts(self) -> list[Part]:
        """The content of all of them."""
        return [one.part for one in self.all()]

    def _write(self, path: Path, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=self._folder, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def check_name(name: str) -> None:
    """Refuse what cannot name a catalogue.

    Raises:
        NoriaError: it is no name.
    """
    if not _NAME.fullmatch(name):
        raise NoriaError(
            f"{name!r} cannot name a catalogue.",
            "Use up to 64 letters, digits, dashes and underscores.",
        )


def open_catalogue(
    home: Path, reader: Principal | None = None, *, by_meaning: bool = False
) -> Catalogue:
    """Everything that a reader may see of a home's catalogues, searched as one.

    Args:
        home: the state folder.
        reader: who asks; None for the system, which sees all.
        by_meaning: search by vectors as well, where the embedded model is there.

    Raises:
        NoriaError: a catalogue's file is damaged.
    """
    parts = CatalogueStore(home).parts()
    if reader is not None:
        parts = [part.seen_by(reader) for part in parts]
    return Catalogue(parts, open_meaning(home) if by_meaning else None)


def open_meaning(home: Path) -> Meaning | None:
    """What finds operations by meaning; None where the embedded model was not pulled."""
    encode = local_encoder()
    return Meaning(encode, home / "catalogues" / "vectors.npz") if encode is not None else None
