"""APIBench's official metric, on the trees of Python calls.

The published scripts (`ast_eval_th.py`, `ast_eval_hf.py`, `ast_eval_tf.py`) look for the first API
of the catalogue whose arguments all occur, as text, in the answer, and count it as right if that
API's *domain* is that of the reference. So an answer is right that names any API of the domain; a
call that no API of the catalogue matches is a hallucination. Which arguments count differs: of
TorchHub `repo_or_dir` and `model`, of the others all.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

__all__ = ["GAMED", "Verdict", "official_verdict", "read_calls", "same_call"]

GAMED = (
    "An answer counts as right if the first catalogue entry whose arguments occur in it as text "
    "has the domain that is asked for, so one call given to every question scores the share of its "
    "domain, and an answer that lists many calls scores the first that matches."
)


class Verdict(enum.StrEnum):
    """What the official metric says of an answer."""

    RIGHT = "right"
    WRONG = "wrong"
    """An API of another domain."""
    HALLUCINATED = "hallucinated"


@dataclass(frozen=True, slots=True)
class _Made:
    function: str
    positional: tuple[str, ...]
    named: tuple[tuple[str, str], ...]


@lru_cache(8192)
def read_calls(code: str) -> tuple[_Made, ...]:
    """The calls in a piece of Python, the outermost first; none where it is no Python."""
    try:
        tree = ast.parse(code.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    return tuple(
        _Made(
            ast.unparse(node.func),
            tuple(_written(one) for one in node.args),
            tuple((one.arg or "**", _written(one.value)) for one in node.keywords),
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    )


def _written(node: ast.expr) -> str:
    """A value as the scripts compare it: a text without its quotes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ast.unparse(node)


def official_verdict(
    corpus: str, answer: str, domain: str, apis: Sequence[Mapping[str, Any]]
) -> Verdict:
    """Judge an answer by the official metric.

    Args:
        corpus: `torchhub`, `huggingface` or `tensorflow`.
        answer: the code of the answer.
        domain: of the reference.
        apis: the catalogue, in its order: the first match counts.
    """
    for api in apis:
        wanted = _wanted(corpus, str(api.get("api_call") or ""))
        if wanted and all(part in answer for part in wanted):
            return Verdict.RIGHT if api.get("domain") == domain else Verdict.WRONG
    return Verdict.HALLUCINATED


@lru_cache(8192)
def _wanted(corpus: str, call: str) -> tuple[str, ...]:
    """The arguments of a catalogue's call that must occur in an answer."""
    made = read_calls(call)
    if not made:
        return ()
    outer = made[0]
    if corpus.startswith("torch"):
        return tuple(
            value
            for name, value in outer.named
            if "repo_or_dir" in f"{name}={value}" or "model" in f"{name}={value}"
        )
    return (*outer.positional, *(value for _, value in outer.named))


def same_call(one: str, other: str) -> bool:
    """Whether two pieces of code make the same call, however it is written."""
    mine, theirs = read_calls(one), read_calls(other)
    if not mine or not theirs:
        return one.strip() == other.strip()
    a, b = mine[0], theirs[0]
    return (a.function, a.positional, sorted(a.named)) == (
        b.function,
        b.positional,
        sorted(b.named),
    )
