"""A call as an evaluation sees it: a name and arguments, nothing carried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Call"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a model made."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
