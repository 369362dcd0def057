"""Who plans, signs and applies, with the roles that policy speaks of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noria.store import Key

__all__ = ["Person"]


@dataclass(frozen=True, slots=True)
class Person:
    """A person, or an application in his name. Two keys of one user are the same person."""

    name: str
    key_id: str
    team: str | None = None
    user: str | None = None
    groups: frozenset[str] = frozenset()
    admin: bool = False
    app: str | None = None

    @classmethod
    def of(cls, key: Key, app: str | None = None) -> Person:
        """Whose key it is: its user, else its name, else its id."""
        name = key.user or key.name or key.id
        return cls(name, key.id, key.team, key.user, frozenset(key.groups), key.admin, app)

    def is_any_of(self, names: Iterable[str]) -> bool:
        """Whether one of `user:NAME`, `team:NAME`, `group:NAME`, `app:NAME`, `admin`, `*` fits."""
        return any(self._is(name) for name in names)

    def _is(self, name: str) -> bool:
        kind, _, which = name.partition(":")
        match kind:
            case "*":
                return True
            case "admin":
                return self.admin
            case "user":
                return fnmatchcase(self.user or self.name, which)
            case "team":
                return self.team is not None and fnmatchcase(self.team, which)
            case "group":
                return any(fnmatchcase(group, which) for group in self.groups)
            case "app":
                return self.app is not None and fnmatchcase(self.app, which)
        return False
