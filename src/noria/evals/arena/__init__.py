"""Blind battles: two contestants answer, a person votes, and only then learns who they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.evals.arena.battle_flow import Match, Said, Settled
    from noria.evals.arena.export import export_rows
    from noria.evals.arena.live_leaderboard import standings, tally_of

_NAMES_OF = {
    "export": "export_rows",
    "battle_flow": "Match Said Settled",
    "live_leaderboard": "standings tally_of",
}

__all__ = ["Match", "Said", "Settled", "export_rows", "standings", "tally_of"]

__getattr__ = load_on_use(__name__, _NAMES_OF)
