"""Style as covariates: how much of a win is length, headings, lists and bold, and not the answer.

Each measure enters as the z-score of (a - b) / (a + b): its mean is taken off, and its standard
deviation is 1. The fit is the logistic regression on contestants and measures together with the
ridge of LMSYS's style control (2024: C = 1, with every battle in it twice) on the measures, so that
a style that goes with every win has a finite effect. Strengths have no ridge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.evals.strength import errors, laplacian, sigmoid, solvable

__all__ = ["MEASURES", "StyleFit", "contrasts", "fit_style", "measure"]

Floats = NDArray[np.float64]
MEASURES = ("length", "headings", "lists", "bold")

_CODE = re.compile(r"^(```|~~~).*?(?:^\1[`~]*[ \t]*$|\Z)", re.M | re.S)
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+\S", re.M)
_ITEM = re.compile(r"^[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+\S", re.M)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
_ROUNDS = 60
_RIDGE = 0.5
"""The penalty on an effect `e` is `_RIDGE * e**2 / 2`."""


def measure(conversation: object) -> tuple[int, int, int, int] | None:
    """Characters, headings, list items and bold phrases of the assistant's side; None if there is
    none. Code blocks count as length only. A conversation is a text or a list of messages."""
    if isinstance(conversation, str):
        texts = [conversation]
    elif isinstance(conversation, list):
        texts = [
            text
            for message in conversation
            if isinstance(message, Mapping) and message.get("role") == "assistant"
            if (text := _text(message.get("content"))) is not None
        ]
    else:
        return None
    if not texts:
        return None
    text = "\n\n".join(texts)
    prose = _CODE.sub("", text)
    return (
        sum(map(len, texts)),
        len(_HEADING.findall(prose)),
        len(_ITEM.findall(prose)),
        len(_BOLD.findall(prose)),
    )


def _text(content: object) -> str | None:
    """What a message says, in either of OpenAI's forms."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return None


@dataclass(frozen=True, slots=True)
class StyleFit:
    """Strengths at equal style, and the pull of each measure."""

    strengths: Floats
    effects: Floats
    """For each column the change of log odds by one standard deviation of it."""
    covariance: Floats
    """Of strengths (around their mean) and effects, of the kind that `strength.covariance` is."""


def contrasts(measured: Floats) -> tuple[Floats, Floats]:
    """The columns of the regression from battles x 2 x measures, and the scale of each; a measure
    in which no two answers differ has scale 0 and no column."""
    a, b = measured[:, 0], measured[:, 1]
    columns = (a - b) / np.maximum(a + b, 1)
    if not len(columns):
        return columns[:, :0], np.zeros(columns.shape[1])
    scale = np.std(columns, axis=0)
    # The same contrast in every battle has a deviation that rounding makes.
    scale = np.where(scale > 1e-12, scale, 0.0)
    centred = columns - columns.mean(axis=0)
    used: Floats = centred[:, scale > 0] / scale[scale > 0]
    return used, scale


def fit_style(
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    score: Floats,
    weight: Floats,
    columns: Floats,
    size: int,
    prior: float = 0.0,
) -> StyleFit:
    """Fit by Newton, a row a battle; the prior is that of `strength.fit`."""
    theta = np.zeros(size + columns.shape[1])
    effects = np.arange(size, len(theta))

    def slope_of(error: Floats) -> Floats:
        across = np.bincount(first, error, size) - np.bincount(second, error, size)
        return np.asarray(np.r_[across, error @ columns])

    def bend_of(value: Floats) -> Floats:
        bend = np.zeros((len(theta), len(theta)))
        bend[:size, :size] = laplacian(first, second, value, size)
        for place, column in enumerate(columns.T):
            both = value * column
            bend[:size, size + place] = np.bincount(first, both, size) - np.bincount(
                second, both, size
            )
        bend[size:, :size] = bend[:size, size:].T
        bend[size:, size:] = columns.T @ (value[:, None] * columns)
        return bend

    for _ in range(_ROUNDS):
        chances = sigmoid(theta[first] - theta[second] + columns @ theta[size:])
        slope = slope_of(weight * (score - chances))
        curve = bend_of(weight * chances * (1 - chances))
        if prior:
            own = sigmoid(theta[:size])
            slope[:size] += prior * (0.5 - own)
            curve[np.diag_indices(size)] += prior * own * (1 - own)
        else:
            curve[:size, :size] = solvable(curve[:size, :size])
        slope[size:] -= _RIDGE * theta[size:]
        curve[effects, effects] += _RIDGE
        step = np.linalg.solve(curve, slope)
        most = float(np.abs(step).max(initial=0))
        theta += step * min(1.0, 5 / most) if most else 0.0
        if most < 1e-11 * (1 + float(np.abs(theta).max(initial=0))):
            break
    spread = np.linalg.inv(curve)
    if not prior:
        squares = errors(
            first, second, score, weight, np.ones(len(score)), chances, size, len(effects)
        )
        spread = spread @ bend_of(squares) @ spread
    centre = np.eye(len(theta))
    centre[:size, :size] -= 1 / size
    return StyleFit(
        theta[:size] - theta[:size].mean(), theta[size:], np.asarray(centre @ spread @ centre)
    )
