"""Who speaks when: a conversation has a system prompt, questions and answers in turns."""

from __future__ import annotations

from noria.datasets.readers import Turn
from noria.datasets.row import ROLES

__all__ = ["repair"]


def repair(turns: list[Turn], *, preference: bool = False) -> None:
    """Mark every turn that has no place in an exchange; join what one side said in a row.

    A joined turn's text is kept in the turn before it; it counts as dropped for `merged`. A turn of
    tools belongs to the answer that called them. The prompt of a preference ends with a question,
    every other conversation with an answer.
    """
    for number, turn in enumerate(turns):
        if turn.dropped is None and turn.role not in ROLES:
            turn.dropped = "unknown_role"
        elif turn.dropped is None and not turn.content.strip() and not turn.extra.get("tool_calls"):
            turn.dropped = "empty"
        elif turn.dropped is None and turn.role == "system" and _said_before(turns, number):
            turn.dropped = "late_system"
    _drop_orphans(turns)
    _join(turns)
    while (last := _last(turns)) and last.role != "assistant" and not preference:
        last.dropped = "unanswered" if last.role == "user" else "no_exchange"
    while (last := _last(turns)) and last.extra.get("tool_calls") and not preference:
        last.dropped = "unanswered_call"
        while (before := _last(turns)) and before.role != "assistant":
            before.dropped = "unanswered"


def _kept(turns: list[Turn]) -> list[Turn]:
    return [turn for turn in turns if turn.dropped is None]


def _last(turns: list[Turn]) -> Turn | None:
    return next((turn for turn in reversed(turns) if turn.dropped is None), None)


def _said_before(turns: list[Turn], number: int) -> bool:
    return any(turn.dropped is None and turn.role != "system" for turn in turns[:number])


def _drop_orphans(turns: list[Turn]) -> None:
    """Answers before the first question, results of tools that nobody called, and calls that have
    no result."""
    asked = False
    called: dict[str, Turn] = {}
    for turn in _kept(turns):
        if turn.role == "user":
            asked = True
        elif turn.role == "assistant" and not asked:
            turn.dropped = "no_question"
        elif turn.role == "tool" and not _is_answer_to(turn, called):
            turn.dropped = "tool_without_call"
        if turn.dropped is None:
            for call in turn.extra.get("tool_calls", ()):
                called[str(call.get("id"))] = turn
    answered = {str(turn.extra.get("tool_call_id")) for turn in _kept(turns) if turn.role == "tool"}
    kept = _kept(turns)
    for number, turn in enumerate(kept):
        calls = turn.extra.get("tool_calls")
        if calls and number + 1 < len(kept) and kept[number + 1].role != "tool":
            missing = [one for one in calls if str(one.get("id")) not in answered]
            if missing and turn.content.strip():
                del turn.extra["tool_calls"]
            elif missing:
                turn.dropped = "call_without_result"


def _is_answer_to(turn: Turn, called: dict[str, Turn]) -> bool:
    named = turn.extra.get("tool_call_id")
    return bool(called) if named is None else named in called


def _join(turns: list[Turn]) -> None:
    before: Turn | None = None
    for turn in _kept(turns):
        same = before is not None and before.role == turn.role and turn.role != "tool"
        if before is not None and same and not before.extra and not turn.extra:
            if turn.content.strip() == before.content.strip():
                turn.dropped = "repeated"
            else:
                before.content = f"{before.content.rstrip()}\n\n{turn.content.lstrip()}"
                turn.dropped = "merged"
            continue
        before = turn
