"""Style as covariates: how much of a win is length, headings, lists and bold, and not the answer.

Each measure enters as (a - b) / (a + b), which turns its sign when the sides are exchanged, scaled
to a root mean square of 1. The fit is the maximum likelihood of the logistic regression on
contestants and measures together (as in LMSYS's style control, 2024, without its intercepts).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.errors import NoriaError
from noria.evals.strength import laplacian, sigmoid, solvable

__all__ = ["MEASURES", "StyleFit", "contrasts", "fit_style", "measure"]

Floats = NDArray[np.float64]
MEASURES = ("length", "headings", "lists", "bold")

_CODE = re.compile(r"^(```|~~~).*?(?:^\1[`~]*[ \t]*$|\Z)", re.M | re.S)
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+\S", re.M)
_ITEM = re.compile(r"^[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+\S", re.M)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
_ROUNDS = 60
_ENDLESS = 30.0
"""A measure that moves the odds by e^30 decides every battle: there is no finite estimate."""


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
    """For each column the change of log odds by one root mean square of it."""
    covariance: Floats
    """Of strengths (around their mean) and effects, of the kind that `strength.covariance` is."""


def contrasts(measured: Floats) -> tuple[Floats, Floats]:
    """The columns of the regression from battles x 2 x measures, and the scale of each; a measure
    in which no two answers differ has scale 0 and no column."""
    a, b = measured[:, 0], measured[:, 1]
    columns = (a - b) / np.maximum(a + b, 1)
    scale = np.sqrt(np.mean(columns**2, axis=0)) if len(columns) else np.zeros(columns.shape[1])
    used: Floats = columns[:, scale > 0] / scale[scale > 0]
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
    """Fit by Newton, a row a battle; the prior is that of `strength.fit`.

    Raises:
        NoriaError: a measure decides the battles by itself, so that no finite estimate exists.
    """
    theta = np.zeros(size + columns.shape[1])

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
        try:
            step = np.linalg.solve(curve, slope)
        except np.linalg.LinAlgError:
            raise _endless() from None
        most = float(np.abs(step).max(initial=0))
        theta += step * min(1.0, 5 / most) if most else 0.0
        if not np.isfinite(theta).all() or np.abs(theta).max() > _ENDLESS:
            raise _endless()
        if most < 1e-11 * (1 + float(np.abs(theta).max(initial=0))):
            break
    else:
        raise _endless()
    spread = np.linalg.inv(curve)
    if not prior:
        spread = spread @ bend_of((weight * (score - chances)) ** 2) @ spread
    centre = np.eye(len(theta))
    centre[:size, :size] -= 1 / size
    return StyleFit(
        theta[:size] - theta[:size].mean(), theta[size:], np.asarray(centre @ spread @ centre)
    )


def _endless() -> NoriaError:
    return NoriaError(
        "The effect of style has no finite estimate: one style goes with every win.",
        "Take more battles, or rate without style.",
    )
