"""`Catalogue`: what there is to call, and what there is to have for a price."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import orjson

from noria.actions.catalogue.bm25 import Bm25
from noria.actions.catalogue.meaning import Meaning
from noria.actions.operation import Offer, Operation
from noria.errors import NotFound
from noria.retrieval.search.ranking import reciprocal_rank_fusion
from noria.types import Label, Principal

__all__ = ["Catalogue", "Part"]

_FUSED = 100
"""How many of each ranking are joined."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_.-]")


@dataclass(frozen=True, slots=True)
class Part:
    """The operations of one API, and the offers that they can start."""

    name: str
    operations: tuple[Operation, ...]
    offers: tuple[Offer, ...]
    version: str
    """SHA-256 over all of its content, in hexadecimal, also where only some of it may be seen."""
    grants: frozenset[str] = frozenset()
    """Groups that may see any of it; empty: everybody."""
    label: Label = Label.PUBLIC

    @classmethod
    def of(cls, name: str, operations: Iterable[Operation], offers: Iterable[Offer] = ()) -> Part:
        """A part with its version."""
        kept, priced = tuple(operations), tuple(offers)
        text = orjson.dumps([kept, priced], option=orjson.OPT_SORT_KEYS, default=_sorted)
        return cls(name, kept, priced, hashlib.sha256(text).hexdigest())

    def seen_by(self, reader: Principal) -> Part:
        """What a reader may see of it."""
        if not reader.may_see(self.grants, self.label):
            return replace(self, operations=(), offers=())
        visible = tuple(one for one in self.operations if reader.may_see(one.grants, one.label))
        return replace(self, operations=visible)


def _sorted(value: object) -> list[str]:
    """A set as JSON has it."""
    assert isinstance(value, frozenset)
    return sorted(value)


class Catalogue:
    """Some parts, searched as one.

    Args:
        parts: each API once.
        meaning: finds by meaning as well; None: by words alone.
    """

    def __init__(self, parts: Iterable[Part], meaning: Meaning | None = None) -> None:
        self._meaning = meaning
        self._parts = {part.name: part for part in parts}
        found = self._parts.values()
        self._operations = tuple(one for part in found for one in part.operations)
        self._by_id = {operation.id: operation for operation in self._operations}
        self._offers = tuple(offer for part in found for offer in part.offers)

    def operations(self) -> Sequence[Operation]:
        """All operations."""
        return self._operations

    def get(self, operation_id: str) -> Operation:
        """One operation by its id, `CATALOGUE.NAME`.

        Raises:
            NotFound: there is none.
        """
        if operation_id not in self._by_id:
            raise NotFound(f"There is no operation {operation_id!r}.", "Look for it by its words.")
        return self._by_id[operation_id]

    def offers(self, provider: str | None = None) -> Sequence[Offer]:
        """What can be had, where, and at what price; of one provider, or of all."""
        if provider is None:
            return self._offers
        return [offer for offer in self._offers if offer.provider == provider]

    def search(self, words: str, k: int, principal: Principal | None = None) -> Sequence[Operation]:
        """The operations whose documentation fits a request best, the best first.

        Args:
            words: the request.
            k: the most operations.
            principal: only what this reader may see; None: everything that is in it.
        """
        places = self._best(words, k if principal is None else len(self._operations))
        found = (self._operations[place] for place in places)
        if principal is not None:
            found = (one for one in found if principal.may_see(one.grants, one.label))
        return list(islice(found, k))

    def _best(self, words: str, k: int) -> list[int]:
        """The places of the operations that fit best, by words and by meaning."""
        if self._meaning is None or not words.strip():
            return self._index.best(words, k)
        depth = max(k, _FUSED)
        near = self._meaning.best(self.told(), words, depth)
        ranks = reciprocal_rank_fusion(self._index.best(words, depth), near)
        return [rank.chunk for rank in ranks[:k]]

    def version(self, catalogue: str) -> str:
        """The content hash of one part: of its documentation and its offers.

        Raises:
            NotFound: there is no such part.
        """
        if catalogue not in self._parts:
            known = ", ".join(sorted(self._parts)) or "none"
            raise NotFound(f"There is no catalogue {catalogue!r}.", f"There is: {known}.")
        return self._parts[catalogue].version

    def only(self, names: Iterable[str]) -> Catalogue:
        """These parts alone.

        Raises:
            NotFound: there is no such part.
        """
        wanted = sorted(set(names))
        for name in wanted:
            self.version(name)
        return Catalogue((self._parts[name] for name in wanted), self._meaning)

    def told(self) -> list[str]:
        """What each operation means, in the words that the embedding model reads."""
        return [_told(one) for one in self._operations]

    @property
    def names(self) -> list[str]:
        """Of its parts."""
        return sorted(self._parts)

    @cached_property
    def _index(self) -> Bm25:
        return Bm25([_text(operation) for operation in self._operations])


def _text(operation: Operation) -> str:
    """What an operation is found by; its name and its summary count twice."""
    name = _CAMEL.sub(" ", operation.name)
    parameters = operation.parameters.get("properties") or {}
    told = " ".join(
        f"{_CAMEL.sub(' ', key)} {one.get('description', '') if isinstance(one, dict) else ''}"
        for key, one in parameters.items()
    )
    head = f"{operation.catalogue} {name} {operation.summary}"
    return f"{head} {head} {operation.documentation} {told}"


def _told(operation: Operation) -> str:
    return f"{_CAMEL.sub(' ', operation.name)} {operation.summary} {operation.documentation}"
