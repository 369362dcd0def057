"""Near duplicates within a set, across sets, and against the questions of evaluations."""

from __future__ import annotations

from noria.datasets.duplicates.dedupe import Duplicates, dedupe, text_of_row
from noria.datasets.duplicates.near import clusters, contaminated, signatures_of

__all__ = ["Duplicates", "clusters", "contaminated", "dedupe", "signatures_of", "text_of_row"]
