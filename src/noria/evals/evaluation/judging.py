"""Having every answer judged: rated by itself, and beside the baseline's; each once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from noria.errors import ApiError
from noria.evals.evaluation.answering import at_once, patiently
from noria.evals.evaluation.folder import Folder
from noria.gateway.local_client import complete
from noria.models.completion import Completion
from noria.models.endpoint import Endpoint
from noria.tracing import CallContext

if TYPE_CHECKING:
    from noria.evals.judge import Judge
    from noria.evals.questions import Question
    from noria.evals.verdicts import Verdict
    from noria.gateway import Gateway
    from noria.store import Key

__all__ = ["asker", "count_looks", "judge_all"]

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Look:
    """One thing to be judged: a turn of an answer, alone or beside the baseline's."""

    style: str
    row: Row
    turn: int
    other: Row | None = None

    @property
    def traces(self) -> list[str | None]:
        """The runs that gave what is looked at."""
        return [*self.row["traces"], *(self.other["traces"] if self.other else ())]

    @property
    def key(self) -> tuple[Any, ...]:
        return (
            self.style, self.row["question_id"], self.row["contestant"], self.row["repeat"],
            self.turn,
        )  # fmt: skip


def asker(gateway: Gateway, key: Key, traces: Iterable[str | None]) -> Any:
    """A judge's way to its model: through the gateway, each look a trace of its own.

    Args:
        gateway: the door to the model.
        key: who pays.
        traces: the runs whose answers are looked at. A judge that is not cleared for what was read
            in them is not asked.
    """

    read = list(traces)

    async def ask(
        model: str, messages: Sequence[dict[str, str]], options: dict[str, Any]
    ) -> Completion:
        fields = {"model": model, "messages": list(messages), **options}

        async def once() -> Completion:
            at = CallContext(gateway, await gateway.labels.after(key, read))
            return Completion.of(await complete(at, Endpoint.CHAT, fields))

        said: Completion = await patiently(once)
        return said

    return ask


async def judge_all(
    folder: Folder,
    questions: Sequence[Question],
    judge: Judge,
    baseline: str | None,
    ask_of: Callable[[Iterable[str | None]], Any],
    *,
    concurrency: int = 8,
    progress: Callable[[], None] = lambda: None,
) -> list[str]:
    """Judge what was not judged yet, and add each judgement to the folder.

    Every turn is rated from 1 to 10; with a baseline every other contestant's turns are also held
    beside the baseline's, in both orders.

    Args:
        folder: the evaluation, with its answers.
        questions: what was asked.
        judge: who judges.
        baseline: the contestant that the others are compared with.
        ask_of: the judge's way to its model, when it looks at answers of some traces.
        concurrency: how many judgements at the same time.
        progress: called after each.

    Returns:
        What could not be judged, and why; it is tried again when the run is begun again.

    Raises:
        ApiError: the budget is exhausted.
    """
    known = {question.id: question for question in questions}
    done = {
        (row["look"], row["question_id"], row["contestant"], row["repeat"], row["turn"])
        for row in folder.rows("judgements")
    }
    due = [look for look in _looks(folder, baseline) if look.key not in done]
    failed: list[str] = []
    said: dict[tuple[Any, ...], Completion] = {
        (*row["key"], row["number"]): Completion(row["text"], row["refused"], row["cut"])
        for row in folder.rows("looks")
    }

    def remembering(look: _Look, ask: Any) -> Any:
        """The judge's way to its model, that asks nothing twice: each look is a line of its own,
        known by its place among those of one judgement, which ask in one order."""
        numbers = count()

        async def once(model: str, messages: Sequence[dict[str, str]], options: Any) -> Completion:
            number = next(numbers)
            found = said.get((*look.key, number))
            if found is None:
                found = await ask(model, messages, options)
                line = {"text": found.text, "refused": found.refused, "cut": found.cut}
                folder.add("looks", {"key": look.key, "number": number, **line})
            return found

        return once

    async def look_at(look: _Look) -> None:
        question = known[look.row["question_id"]]
        try:
            ask = remembering(look, ask_of(look.traces))
            rows = await _judged(judge, question, look, ask)
        except ApiError as refusal:
            if refusal.code == "budget_exhausted":
                raise
            failed.append(
                f"{look.style} look at {look.row['contestant']}, question {question.id}, "
                f"turn {look.turn + 1}: {refusal.code}: {refusal.message}"
            )
        else:
            for row in rows:
                folder.add("judgements", row)
        progress()

    await at_once(concurrency, ((look,) for look in due), look_at)
    return failed


def count_looks(folder: Folder, baseline: str | None) -> int:
    """How many judgements the answers of a folder call for."""
    return sum(1 for _ in _looks(folder, baseline))


def _looks(folder: Folder, baseline: str | None) -> Iterator[_Look]:
    answers = {
        (row["question_id"], row["contestant"], row["repeat"]): row
        for row in folder.rows("answers")
        if row["error"] is None
    }
    for (question, contestant, repeat), row in answers.items():
        other = answers.get((question, baseline, repeat)) if baseline else None
        for turn in range(len(row["answers"])):
            yield _Look("single", row, turn)
            if other is not None and contestant != baseline:
                yield _Look("pair", row, turn, other)


async def _judged(judge: Judge, question: Question, look: _Look, ask: Any) -> list[dict[str, Any]]:
    turn, answers = look.turn, look.row["answers"]
    asked = question.turns[: turn + 1]
    reference = question.reference[turn] or None if turn < len(question.reference) else None
    head = {
        "look": look.style, "question_id": question.id, "category": question.category,
        "contestant": look.row["contestant"], "repeat": look.row["repeat"], "turn": turn,
        "judge": judge.model,
    }  # fmt: skip
    if look.other is None:
        said = await judge.rate(list(zip(asked, answers[: turn + 1], strict=True)), ask, reference)
        return [
            head | _told(one.verdict) | {"criterion": one.criterion, "text": one.text}
            for one in said
        ]
    theirs = look.other["answers"][: turn + 1]
    pairs = await judge.compare(asked, answers[: turn + 1], theirs, ask, reference)
    return [
        head
        | _told(one.verdict)
        | {
            "winner": {"a": "contestant", "b": "baseline", "tie": "tie"}.get(
                one.verdict.winner or ""
            ),
            "orders": [one.shown.winner or one.shown.kind,
                       one.exchanged.winner or one.exchanged.kind],
            "text": "\n---\n".join(one.texts),
        }
        for one in pairs
    ]  # fmt: skip


def _told(verdict: Verdict) -> dict[str, Any]:
    return {"kind": verdict.kind, "score": verdict.score, "strict": verdict.strict}
