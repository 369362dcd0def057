"""Having every question answered by every contestant: each once, however often it is begun."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from noria.errors import ApiError
from noria.evals.evaluation.contestants import Answer, Contestant
from noria.evals.evaluation.folder import Folder
from noria.tracing import CallContext

if TYPE_CHECKING:
    from noria.evals.questions import Question
    from noria.gateway import Gateway
    from noria.store import Key

__all__ = ["Asked", "answer_all", "at_once", "patiently"]

_TRIES = 6
_LONGEST_PAUSE = 60.0
_random = random.Random()  # noqa: S311 - jitter is no secret

Asked = tuple[str, str, int]
"""A question's id, a contestant's name, and which repeat."""


async def answer_all(
    folder: Folder,
    questions: Sequence[Question],
    contestants: Sequence[Contestant],
    *,
    gateway: Gateway,
    key: Key,
    repeats: int = 1,
    concurrency: int = 8,
    progress: Callable[[], None] = lambda: None,
) -> int:
    """Ask what was not answered yet, and add each answer to the folder.

    Args:
        folder: the evaluation.
        questions: what is asked.
        contestants: who is asked.
        gateway: the door to the models.
        key: who pays.
        repeats: how often each is asked each.
        concurrency: how many are asked at the same time.
        progress: called after each answer.

    Returns:
        How many could not answer; they are asked again when the run is begun again.

    Raises:
        ApiError: the budget is exhausted; what was answered is in the folder.
    """
    done = {_asked(row) for row in folder.rows("answers") if row["error"] is None}
    begun: dict[Asked, list[Answer]] = {}
    for turn in folder.rows("turns"):
        known = begun.setdefault(_asked(turn), [])
        if turn["turn"] == len(known):
            known.append(Answer(turn["text"], turn["trace"], turn["ms"], turn["checks"]))
    due = [
        (question, contestant, repeat)
        for repeat in range(repeats)
        for question in questions
        for contestant in contestants
        if (question.id, contestant.name, repeat) not in done
    ]
    failed = 0

    async def ask(question: Question, contestant: Contestant, repeat: int) -> None:
        nonlocal failed
        row = {
            "question_id": question.id, "category": question.category,
            "contestant": contestant.name, "repeat": repeat, "questions": list(question.turns),
        }  # fmt: skip
        answers: list[Answer] = []
        error = None
        try:
            messages: list[dict[str, str]] = []
            known = begun.get((question.id, contestant.name, repeat), [])
            for number, turn in enumerate(question.turns):
                messages.append({"role": "user", "content": turn})

                async def once() -> Answer:
                    # What was answered before is told again.
                    said = [one.trace_id for one in answers if contestant.reads(gateway)]
                    trace = await gateway.labels.after(key, said)
                    await gateway.labels.raise_to(trace, question.label)
                    context = CallContext(gateway, trace)
                    return await contestant.answer(tuple(messages), context)

                if number < len(known):
                    answer = known[number]
                else:
                    answer = await patiently(once)
                    if number + 1 < len(question.turns):
                        folder.add("turns", row | _turn(number, answer))
                answers.append(answer)
                messages.append({"role": "assistant", "content": answer.text})
        except ApiError as refusal:
            if refusal.code == "budget_exhausted":
                raise
            error = f"{refusal.code}: {refusal.message}"
            failed += 1
        folder.add("answers", row | _told(answers, error))
        progress()

    await at_once(concurrency, due, ask)
    return failed


async def patiently(ask: Callable[[], Any]) -> Any:
    """Ask again after a pause while the other side asks for patience.

    Raises:
        ApiError: it could not be answered.
    """
    for tried in range(_TRIES):
        try:
            return await ask()
        except ApiError as refusal:
            used_up = refusal.code in ("budget_exhausted", "insufficient_quota")
            later = refusal.status == 429 and not used_up
            if not (later or refusal.status == 503) or tried == _TRIES - 1:
                raise
            pause = refusal.retry_after or 2.0**tried
            await asyncio.sleep(min(pause, _LONGEST_PAUSE) * (1 + 0.2 * _random.random()))
    raise AssertionError("the last try returns or raises")


async def at_once(concurrency: int, due: Iterable[tuple[Any, ...]], work: Any) -> None:
    """Do the work for every item, so many at the same time; the first failure ends all."""
    items = iter(due)

    async def worker() -> None:
        for item in items:
            await work(*item)

    workers = [asyncio.create_task(worker()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for one in workers:
            one.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def _turn(number: int, answer: Answer) -> dict[str, Any]:
    """A turn that was answered while others are not yet."""
    return {
        "turn": number, "text": answer.text, "trace": answer.trace_id, "ms": answer.ms,
        "checks": dict(answer.checks),
    }  # fmt: skip


def _asked(row: Mapping[str, Any]) -> Asked:
    return row["question_id"], row["contestant"], row["repeat"]


def _told(answers: Sequence[Answer], error: str | None) -> dict[str, Any]:
    return {
        "answers": [answer.text for answer in answers],
        "traces": [answer.trace_id for answer in answers],
        "ms": [answer.ms for answer in answers],
        "checks": [dict(answer.checks) for answer in answers],
        "error": error,
    }
