"""Online Elo, as in chess: each battle moves two ratings, so the order of battles matters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noria.evals.battles import Battles, Outcome

__all__ = ["bootstrap_elo", "in_order", "online_elo"]

BASE, SCALE, START = 10.0, 400.0, 1000.0
_SCORE = {Outcome.A: 1.0, Outcome.B: 0.0, Outcome.TIE: 0.5, Outcome.BOTH_BAD: 0.5}


def online_elo(battles: Battles, k: float = 4.0) -> NDArray[np.float64]:
    """The rating of each model after the last battle (Elo 1978). All begin at 1000.

    Battles are played in the order of their times if all have one, else as they come. `k` is how
    many points a battle is about: each side moves by `k` times (result - expected result).
    """
    return _play(battles, in_order(battles), k)


def bootstrap_elo(battles: Battles, k: float, rounds: int, seed: int | None) -> NDArray[np.float64]:
    """Ratings of `rounds` samples of the battles, each played in the order of the battles. It costs
    all battles in each round."""
    rng = np.random.default_rng(seed)
    order = in_order(battles)
    size = len(order)
    return np.vstack(
        [_play(battles, order[np.sort(rng.integers(0, size, size))], k) for _ in range(rounds)]
    )


def in_order(battles: Battles) -> NDArray[np.intp]:
    """The places of battles in the order that they were fought."""
    if battles.at is None or not np.isfinite(battles.at).all():
        return np.arange(len(battles))
    return np.argsort(battles.at, kind="stable")


def _play(battles: Battles, order: NDArray[np.intp], k: float) -> NDArray[np.float64]:
    ratings = [START] * len(battles.models)
    score = np.array([_SCORE[outcome] for outcome in Outcome])
    for a, b, result in zip(
        battles.first[order].tolist(),
        battles.second[order].tolist(),
        score[battles.outcome[order]].tolist(),
        strict=True,
    ):
        expected = 1 / (1 + BASE ** ((ratings[b] - ratings[a]) / SCALE))
        change = k * (result - expected)
        ratings[a] += change
        ratings[b] -= change
    return np.array(ratings)
