"""The seeds that new instructions are made of: tasks that people wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from noria.datasets.readers import conversations_of, pieces
from noria.errors import NoriaError

__all__ = ["Seed", "read_seeds"]


@dataclass(frozen=True, slots=True)
class Seed:
    """A task with an example of its input, if it needs one, and the answer."""

    instruction: str
    source: str


def read_seeds(path: Path) -> list[Seed]:
    """Read seeds: self-instruct's and Alpaca's form, or any conversations, whose first question
    is then the instruction.

    Raises:
        NoriaError: there is none, or one cannot be read; the message names it.
    """
    seeds = []
    for piece in pieces(path):
        for draft in conversations_of(piece):
            question = next((one.content for one in draft.turns if one.role == "user"), "")
            if draft.fault or not question.strip():
                raise NoriaError(
                    f"{piece.source} is not a seed: {draft.fault or 'it has no instruction'}.",
                    'A seed is {"instruction": ..., "instances": [{"input": ..., "output": ...}]}.',
                )
            seeds.append(Seed(question.split("\n\n")[0].strip(), piece.source))
    if not seeds:
        raise NoriaError(f"{path} holds no seed.", "It has one task a line, as JSON.")
    return seeds
