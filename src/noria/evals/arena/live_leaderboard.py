"""The leaderboard as it stands: from the counts that each vote keeps up to date."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from noria.store.evals.pair_counts import count_pairs, count_pairs_since

if TYPE_CHECKING:
    from noria.evals.leaderboard import Leaderboard
    from noria.evals.tally import Tally
    from noria.store import Database

__all__ = ["standings", "tally_of"]


def standings(db: Database, *, prior: float = 0.0, **chosen: Any) -> Leaderboard:
    """Rate the contestants of an arena by the votes that count until now.

    Reads one row for each pair, so it takes as long after a million battles as after a hundred.

    Args:
        db: the database.
        prior: battles against an average contestant that each is given; see `rate`.
        chosen: which battles; see `tally_of`.
    """
    from noria.evals.rating import rate

    return rate(tally_of(db, **chosen), prior=prior)


def tally_of(
    db: Database,
    *,
    sources: Collection[str] = ("human",),
    arena: str = "",
    category: str | None = None,
    language: str | None = None,
    since_ns: int | None = None,
) -> Tally:
    """How often each pair met, and how that ended.

    Args:
        db: the database.
        sources: whose votes: `human`, `judge`, `shadow`.
        arena: "" for the arena of the installation, else an app's name.
        category: only battles of this category.
        language: only battles in this language.
        since_ns: only battles since this instant, which are then read one by one.
    """
    import numpy as np

    from noria.evals.tally import Tally

    chosen: dict[str, Any] = {
        "sources": sources, "arena": arena, "category": category, "language": language,
    }  # fmt: skip
    pairs = (
        count_pairs(db, **chosen) if since_ns is None else count_pairs_since(db, since_ns, **chosen)
    )
    models_a, models_b, *ends = zip(*pairs, strict=True) if pairs else [()] * 6
    return Tally.of_counts(models_a, models_b, np.array(ends, np.int64).T)
