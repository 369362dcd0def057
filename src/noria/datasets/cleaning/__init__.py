"""Cleaning: one streaming pass over an export, with a reason for every turn that is left out.

Turns in are always turns kept and turns dropped, by reason; a pass in which they are not fails.
"""

from __future__ import annotations

from noria.datasets.cleaning.conversation import clean_conversations
from noria.datasets.cleaning.options import Options
from noria.datasets.cleaning.report import Report
from noria.datasets.cleaning.run import clean_file

__all__ = ["Options", "Report", "clean_conversations", "clean_file"]
