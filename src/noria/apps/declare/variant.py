"""Another model or other settings for the same application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Variant"]


@dataclass(frozen=True, slots=True)
class Variant:
    """An application with another model or other settings."""

    name: str
    model: str | None
    settings: dict[str, Any]
