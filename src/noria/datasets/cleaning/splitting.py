"""Long conversations in parts that fit a model's context, cut between exchanges."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from noria.datasets.readers import Turn

__all__ = ["TURN_TOKENS", "split"]

TURN_TOKENS = 4
"""What a chat template adds to a turn: its role and the marks of its beginning and end."""


def split(
    turns: Sequence[Turn], count: Callable[[str], int], most: int
) -> list[tuple[list[Turn], bool]]:
    """Cut a conversation into parts of at most `most` tokens, each of whole exchanges.

    An exchange is a question with all that follows it up to the next question. Every part begins
    with the system prompt. An exchange that does not fit by itself is marked as dropped
    (`too_long`); all the others are in exactly one part, the last one as well.

    Returns:
        The parts, each with whether its system prompt is a copy.
    """
    system = [turn for turn in turns if turn.role == "system"]
    base = sum(_size(turn, count) for turn in system)
    parts: list[tuple[list[Turn], bool]] = []
    filled: list[Turn] = []
    size = base
    for exchange in _exchanges([turn for turn in turns if turn.role != "system"]):
        needed = sum(_size(turn, count) for turn in exchange)
        if base + needed > most:
            for turn in exchange:
                turn.dropped = "too_long"
            continue
        if filled and size + needed > most:
            parts.append(([*system, *filled], bool(parts)))
            filled, size = [], base
        filled += exchange
        size += needed
    if filled:
        parts.append(([*system, *filled], bool(parts)))
    if not parts:
        for turn in system:
            turn.dropped = "too_long"
    return parts


def _exchanges(turns: Sequence[Turn]) -> list[list[Turn]]:
    exchanges: list[list[Turn]] = []
    for turn in turns:
        if turn.role == "user" or not exchanges:
            exchanges.append([])
        exchanges[-1].append(turn)
    return exchanges


def _size(turn: Turn, count: Callable[[str], int]) -> int:
    calls = "".join(
        f"{call['function'].get('name', '')}{call['function'].get('arguments', '')}"
        for call in turn.extra.get("tool_calls", ())
    )
    return count(turn.content) + (count(calls) if calls else 0) + TURN_TOKENS
