"""Who may see a document: the shelf that it stands on, and the shelves that a reader may go to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, select

from noria.retrieval.document import Original, read_grants, read_label
from noria.store.database import insert_into
from noria.store.tables.retrieval import shelves
from noria.types import Label, Principal

__all__ = ["Access", "Rules", "permitted", "shelf_of"]


@dataclass(frozen=True, slots=True)
class Access:
    """What a reader needs to see a document."""

    label: Label = Label.PUBLIC
    grants: tuple[tuple[str, ...], ...] = ()
    """The reader must be in one group of each; none: everyone with a key."""

    @classmethod
    def of(cls, label: Label, *grants: Iterable[str]) -> Access:
        """A standing, in the one form that equal ones have."""
        return cls(
            label, tuple(sorted({tuple(sorted(set(groups))) for groups in grants if groups}))
        )

    def is_open_to(self, reader: Principal) -> bool:
        """Whether a reader may see what has this standing."""
        return all(reader.may_see(groups, self.label) for groups in self.grants or ((),))


@dataclass(frozen=True, slots=True)
class Rules:
    """What an index says of its documents. A document's own words only make it narrower."""

    label: object
    grants: object

    @property
    def by_document(self) -> bool:
        """Whether a function decides, whose answer may change though the document does not."""
        return callable(self.label) or callable(self.grants)

    @property
    def constant(self) -> object:
        """What is the same for every document, as JSON can hold it; None where a function says."""
        label = None if callable(self.label) else read_label(self.label)
        grants = None if callable(self.grants) else sorted(read_grants(self.grants))
        return label, grants

    def standing(self, original: Original) -> Access:
        """What a reader needs to see a document.

        Raises:
            Unreadable: a function gave what is not a label or not groups.
        """
        label = read_label(self.label(original) if callable(self.label) else self.label)
        grants = read_grants(self.grants(original) if callable(self.grants) else self.grants)
        return Access.of(max(label, original.label), grants, original.grants)


def shelf_of(connection: Connection, index_id: int, standing: Access) -> int:
    """The number of the shelf for a standing, which is put up if there is none."""
    wanted = {
        "index_id": index_id,
        "label": int(standing.label),
        "grants": orjson.dumps(standing.grants).decode(),
    }
    connection.execute(insert_into(connection, shelves).values(wanted).on_conflict_do_nothing())
    same = [shelves.c[name] == value for name, value in wanted.items()]
    return int(connection.execute(select(shelves.c.serial).where(*same)).scalar_one())


def permitted(connection: Connection, index_id: int, reader: Principal | None) -> Sequence[int]:
    """The shelves of an index that a reader may go to; all of them for None, the system."""
    chosen = select(shelves.c.serial, shelves.c.label, shelves.c.grants).where(
        shelves.c.index_id == index_id
    )
    if reader is not None:
        chosen = chosen.where(shelves.c.label <= int(reader.clearance))
    return [
        row.serial
        for row in connection.execute(chosen)
        if reader is None
        or Access.of(Label(row.label), *orjson.loads(row.grants)).is_open_to(reader)
    ]
