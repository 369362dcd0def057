"""Models of one's own: what `noria model add` and `noria tune` put into the home.

Each has a folder `models/NAME` in the home: the file that the engine loads, with its stamp, and
`card.json`. A folder is filled under another name and renamed when it is whole, so a model is
registered whole or not at all. `[models_local.NAME]` of `noria.toml` names further ones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.errors import NoriaError, NotFound, WeightsError
from noria.models.local import LOCAL, LocalModel, Source
from noria.types import Label

if TYPE_CHECKING:
    from noria.config import Config

__all__ = ["Card", "LocalModels", "OwnModels", "adapters_of", "check_name"]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Card:
    """What a model is, where it came from, and what it was made of."""

    name: str
    kind: str
    """`chat`, `embed`, or `adapter` (which chats)."""
    source: str
    """Where it came from: an address, a path, or `tune`."""
    sha256: str
    """Of `file`."""
    file: str
    """The file that the engine loads, inside the model's folder."""
    context: int
    license: str
    label: str = "public"
    """The highest label of its data; what a caller's clearance must reach."""
    base: str | None = None
    """Of an adapter: the local model that it stands on."""
    parent: str | None = None
    """The model that it was made from."""
    created_ns: int = 0
    version: str = ""
    """noria's version when it was made."""
    about: str = ""
    data: list[dict[str, Any]] = field(default_factory=list)
    """The data sets: name, SHA-256, rows, label."""
    parameters: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    """Loss, steps, seconds; size, speed and perplexity of a quantised one."""
    curve: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    """Held-out prompts with the answers before and after."""
    declassified: list[dict[str, Any]] = field(default_factory=list)
    """Each time an owner lowered the label: from, to, by whom, when, and why."""
    marked: list[str] = field(default_factory=list)
    """Why it should be made anew: data that it holds was deleted."""

    def local(self, folder: Path) -> LocalModel:
        """The model as the engine's host wants it."""
        return LocalModel(
            self.name,
            self.about or f"from {self.source}",
            chat=self.kind != "embed",
            context=self.context,
            sources=(),
            recipe="copy",
            license=self.license,
            file=folder / self.file,
            base=self.base,
            label=Label.parse(self.label),
        )


def check_name(name: str) -> str:
    """A name without `local:`, when it may be given to a model.

    Raises:
        NoriaError: it cannot be, or belongs to a model that comes with noria.
    """
    name = name.removeprefix("local:")
    if not _NAME.fullmatch(name):
        raise NoriaError(
            f"{name!r} cannot be a model's name.",
            "Use small letters, digits, dots, underscores and hyphens, at most 64.",
        )
    if name in LOCAL:
        raise NoriaError(f"local:{name} comes with noria.", "Choose another name.")
    return name


class OwnModels:
    """The models in the folder `models` of a home."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "models"

    def names(self) -> list[str]:
        """Their names, in order."""
        return sorted(path.parent.name for path in self.folder.glob("[!.]*/card.json"))

    def find(self, name: str) -> Card | None:
        """A model's card; None where there is none of this name."""
        if not _NAME.fullmatch(name):
            return None
        try:
            return Card(**json.loads((self.folder / name / "card.json").read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as problem:
            raise WeightsError(
                f"The card of local:{name} cannot be read: {problem}.",
                f"noria model rm {name}, then add or tune it again.",
            ) from None

    def get(self, name: str) -> Card:
        """A model's card.

        Raises:
            NotFound: there is none of this name.
        """
        card = self.find(name.removeprefix("local:"))
        if card is None:
            known = ", ".join(f"local:{one}" for one in self.names()) or "none yet"
            raise NotFound(f"There is no model of your own {name!r}.", f"These are: {known}.")
        return card

    def cards(self) -> list[Card]:
        """All cards, by name."""
        return [card for name in self.names() if (card := self.find(name)) is not None]

    def changed_ns(self, name: str) -> int:
        """When the model was last changed (nanoseconds since the epoch); 0 where it is absent."""
        try:
            return (self.folder / name / "card.json").stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    @contextmanager
    def preparing(self, name: str) -> Iterator[Path]:
        """A folder to fill; becomes the model's own when the block ends well, and is gone where
        it does not. `card.json` must be written in it.

        Raises:
            NoriaError: a model of this name is there already, or the disk is full.
        """
        check_name(name)
        if self.find(name) is not None:
            raise NoriaError(
                f"There is a model local:{name} already.",
                f"Choose another name, or: noria model rm {name}",
            )
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sweep()
            work = Path(tempfile.mkdtemp(prefix=f".{os.getpid()}-", dir=self.folder))
            try:
                yield work
                work.rename(self.folder / name)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        except OSError as problem:
            raise WeightsError(
                f"local:{name} cannot be written to {self.folder}: "
                f"{problem.strerror or problem}. Nothing was registered.",
                "Make room, or set NORIA_HOME to a folder on another disk.",
            ) from None

    def _sweep(self) -> None:
        """Delete what processes left behind that died while they prepared a model."""
        for folder in self.folder.glob(".[0-9]*-*"):
            try:
                os.kill(int(folder.name[1:].partition("-")[0]), 0)
            except (ProcessLookupError, ValueError):
                shutil.rmtree(folder, ignore_errors=True)
            except PermissionError:
                continue

    def write(self, card: Card, folder: Path | None = None) -> None:
        """Write a card as a whole, into `folder` while the model is prepared."""
        path = (folder or self.folder / card.name) / "card.json"
        fresh = path.with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps(asdict(card), ensure_ascii=False))
        fresh.replace(path)

    def remove(self, name: str) -> None:
        """Delete a model and its files.

        Raises:
            NotFound: there is none of this name.
            NoriaError: adapters stand on it.
        """
        name = self.get(name).name
        above = [f"local:{card.name}" for card in self.cards() if card.base == name]
        if above:
            raise NoriaError(
                f"{', '.join(above)} {'stands' if len(above) == 1 else 'stand'} on local:{name}.",
                "Remove what stands on it first.",
            )
        # Renamed first: at no time does a half-deleted model answer.
        gone = self.folder / f".{os.getpid()}-{name}"
        (self.folder / name).rename(gone)
        shutil.rmtree(gone)

    def relabel(self, name: str, label: Label, by: str, why: str, at_ns: int) -> Card:
        """Lower (or raise) what a caller's clearance must reach, and write down who did it."""
        card = self.get(name)
        note = {"from": card.label, "to": str(label), "by": by, "why": why, "at_ns": at_ns}
        changed = replace(card, label=str(label), declassified=[*card.declassified, note])
        self.write(changed)
        return changed


class LocalModels(Mapping[str, LocalModel]):
    """Every model that can run on this machine: noria's, the file's, and the home's.

    Looks at the home each time, so that a model is there as soon as it was registered.
    """

    def __init__(self, config: Config) -> None:
        self._own = OwnModels(config.home)
        self._named = {
            name: LocalModel(
                name,
                f"from {one.source}",
                chat=not one.embed,
                context=one.context or config.engines.context,
                sources=(Source(one.source, one.sha256),),
                recipe="copy",
                license=one.license,
            )
            for name, one in config.models_local.items()
        }

    def __getitem__(self, name: str) -> LocalModel:
        found = LOCAL.get(name) or self._named.get(name)
        if found is not None:
            return found
        card = self._own.find(name)
        if card is None:
            raise KeyError(name)
        return card.local(self._own.folder / name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (
            name in LOCAL or name in self._named or self._own.changed_ns(name) > 0
        )

    def __iter__(self) -> Iterator[str]:
        yield from LOCAL
        yield from self._named
        yield from (name for name in self._own.names() if name not in self._named)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def fixed(self, name: str) -> bool:
        """Whether the model stays as it is while the server runs."""
        return name in LOCAL or name in self._named

    def changed_ns(self, name: str) -> int:
        """When a model of the home was last changed; 0 for the others."""
        return 0 if self.fixed(name) else self._own.changed_ns(name)


def adapters_of(home: Path, base: str) -> dict[str, Path]:
    """The files of the adapters in a home that stand on a model, by name."""
    own = OwnModels(home)
    return {
        card.name: own.folder / card.name / card.file for card in own.cards() if card.base == base
    }
