"""What applications may spend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noria.apps.declare.app import App
    from noria.config import Config
    from noria.store import Database

__all__ = ["set_app_budgets"]


def set_app_budgets(db: Database, config: Config, apps: Iterable[App]) -> None:
    """Put the budgets that applications declare into force; what `noria.toml` says goes first.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    from noria.store import list_budgets, set_budget
    from noria.types import Subject

    stored = {row.name: row.budget for row in list_budgets(db) if row.subject is Subject.APP}
    for app in apps:
        wanted = app.budget
        if app.name not in config.budgets.apps and wanted and stored.get(app.name) != wanted:
            set_budget(db, Subject.APP, app.name, wanted)
