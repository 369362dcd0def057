"""The Berkeley Function Calling Leaderboard: its form of rows, and its rules of what is right."""

from __future__ import annotations

from noria.actions.evaluating.bfcl.checking import check_calls
from noria.actions.evaluating.bfcl.rows import BfclRow, read_bfcl

__all__ = ["BfclRow", "check_calls", "read_bfcl"]
