"""Better models from conversations: planned, trained, registered, and promoted on evidence.

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.tuning.planning import Plan, make_plan
    from noria.tuning.rows import LearningRows, read_learning_rows
    from noria.tuning.run import TuneResult, tune
    from noria.tuning.settings import TuneSettings

_NAMES_OF = {
    "planning": "Plan make_plan",
    "rows": "LearningRows read_learning_rows",
    "run": "TuneResult tune",
    "settings": "TuneSettings",
}

__all__ = [
    "LearningRows",
    "Plan",
    "TuneResult",
    "TuneSettings",
    "make_plan",
    "read_learning_rows",
    "tune",
]

__getattr__ = load_on_use(__name__, _NAMES_OF)
