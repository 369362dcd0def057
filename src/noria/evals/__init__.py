"""Evidence: judges, question sets, battles, and ratings that are exact.

Names are loaded when they are first used; nothing here brings numpy along before that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.evals.battles import Battles
    from noria.evals.leaderboard import Leaderboard, Rating, Unrated
    from noria.evals.rating import rate
    from noria.evals.reading import read_battles
    from noria.evals.scores import WinRate, relative_score, win_rate
    from noria.evals.strength import Reason
    from noria.evals.tally import Tally, WinMatrix
    from noria.evals.verdicts import Verdict, both_orders, parse_verdict

_NAMES_OF = {
    "battles": "Battles",
    "leaderboard": "Leaderboard Rating Unrated",
    "rating": "rate",
    "reading": "read_battles",
    "scores": "WinRate relative_score win_rate",
    "strength": "Reason",
    "tally": "Tally WinMatrix",
    "verdicts": "Verdict both_orders parse_verdict",
}

__all__ = [
    "Battles",
    "Leaderboard",
    "Rating",
    "Reason",
    "Tally",
    "Unrated",
    "Verdict",
    "WinMatrix",
    "WinRate",
    "both_orders",
    "parse_verdict",
    "rate",
    "read_battles",
    "relative_score",
    "win_rate",
]
__getattr__ = load_on_use(__name__, _NAMES_OF)
