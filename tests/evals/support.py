"""Battles to rate, and a second opinion on them that shares no code with noria."""

from __future__ import annotations

import math
import random

import numpy as np

LABELS = ("model_a", "model_b", "tie", "tie (bothbad)")


def battles(strengths: dict[str, float], count: int, seed: int = 0, ties: float = 0.2):
    """Rows drawn from Bradley-Terry with natural-log strengths."""
    rng = random.Random(seed)
    names = list(strengths)
    rows = []
    for _ in range(count):
        a, b = rng.sample(names, 2)
        chance = 1 / (1 + math.exp(strengths[b] - strengths[a]))
        if rng.random() < ties:
            winner = rng.choice(LABELS[2:])
        else:
            winner = "model_a" if rng.random() < chance else "model_b"
        rows.append({"model_a": a, "model_b": b, "winner": winner})
    return rows


def logistic_elo(rows: list[dict], extra: np.ndarray | None = None, ridge: float = 0.0):
    """Elo ratings (mean 1000) by an ordinary logistic regression, one row for each half battle.

    The design has a column for each model but the first, and Newton steps are least squares: no
    pair counts, no constraint, no sandwich. Also returns the coefficients of `extra`,
    which alone are held by the ridge: `ridge * coefficient**2 / 2`.
    """
    names = sorted({row[side] for row in rows for side in ("model_a", "model_b")})
    design, target, weight = [], [], []
    for place, row in enumerate(rows):
        line = [0.0] * len(names)
        line[names.index(row["model_a"])] = 1.0
        line[names.index(row["model_b"])] = -1.0
        line = line[1:] + ([] if extra is None else list(extra[place]))
        half = {"model_a": [(1, 1)], "model_b": [(0, 1)]}.get(row["winner"], [(1, 0.5), (0, 0.5)])
        for outcome, share in half:
            design.append(line)
            target.append(outcome)
            weight.append(share / row.get("propensity", 1))
    x, y, w = np.array(design), np.array(target, float), np.array(weight)
    beta = np.zeros(x.shape[1])
    for _ in range(60):
        p = 1 / (1 + np.exp(-(x @ beta)))
        root = np.sqrt(w * p * (1 - p))
        held = np.zeros((len(beta), len(beta)))
        held[len(names) - 1 :, len(names) - 1 :] = np.eye(len(beta) - len(names) + 1) * ridge**0.5
        beta += np.linalg.lstsq(
            np.vstack([x * root[:, None], held]), np.r_[w * (y - p) / root, -held @ beta],
            rcond=None,
        )[0]  # fmt: skip
    strengths = np.r_[0, beta[: len(names) - 1]]
    elo = 1000 + (strengths - strengths.mean()) * 400 / math.log(10)
    return dict(zip(names, elo, strict=True)), beta[len(names) - 1 :]
