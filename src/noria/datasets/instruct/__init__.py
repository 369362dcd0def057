"""Instructions made by a model out of a few seeds (self-instruct: Wang et al. 2022)."""

from __future__ import annotations

from noria.datasets.instruct.filters import fault_of_instruction
from noria.datasets.instruct.rouge import RougeFilter, rouge_l
from noria.datasets.instruct.run import Instructing, instruct
from noria.datasets.instruct.seeds import Seed, read_seeds

__all__ = [
    "Instructing", "RougeFilter", "Seed", "fault_of_instruction", "instruct", "read_seeds",
    "rouge_l",
]  # fmt: skip
