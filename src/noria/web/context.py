"""What the pages are given by the process that serves them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noria.config import Config
    from noria.gateway import Gateway
    from noria.models import Catalogue
    from noria.store import Database

__all__ = ["Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """One installation, as its pages see it."""

    config: Config
    db: Database
    catalogue: Catalogue
    take_in: Callable[[], int]
    """Takes in the journals' pending records, so that a finished call shows at once."""
    home: Path
    gateway: Gateway | None = None
    """The core of the process that serves them; None where pages are shown without a door."""
