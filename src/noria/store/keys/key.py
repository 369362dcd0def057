"""A key as every call reads it: whose it is, and what it allows. `keys.py` makes and finds them."""

from __future__ import annotations

from dataclasses import dataclass

from noria.types import Budget, Label, Principal

__all__ = ["Key"]


@dataclass(frozen=True, slots=True)
class Key:
    """What a key allows. Limits are per minute; None is no limit (for `models`: all of them)."""

    id: str
    serial: int
    """A small number that rises with each key made and is never used again."""
    name: str | None
    hint: str
    """The end of the secret, so that a person can tell keys apart."""
    team: str | None
    user: str | None
    admin: bool
    models: tuple[str, ...] | None
    rpm: int | None
    tpm: int | None
    concurrency: int | None
    groups: frozenset[str]
    clearance: Label
    record_content: bool
    budget: Budget | None
    created_ns: int
    revoked_ns: int | None

    @property
    def principal(self) -> Principal:
        """The caller that this key stands for."""
        return Principal(self.id, self.team, self.user, self.admin, self.groups, self.clearance)
