"""Making instructions until there are enough: resumed where it was stopped, within a budget."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from noria.datasets.cleaning.quality import fault_of_answer
from noria.datasets.instruct.filters import fault_of_instruction
from noria.datasets.instruct.prompts import (
    input_prompt,
    new_tasks,
    parse_input,
    parse_tasks,
    tasks_prompt,
)
from noria.datasets.instruct.rouge import RougeFilter, words_of
from noria.datasets.instruct.seeds import Seed
from noria.errors import NoriaError

__all__ = ["Instructing", "instruct"]

_SEEDS_SHOWN, _OWN_SHOWN = 6, 2
_WANTED = 8
_FRUITLESS = 40
"""Prompts in a row without one new task, after which the model is taken to have no more."""

Ask = Callable[[str, int], Awaitable[str]]
"""Asks the model: a prompt and a number that makes the answer repeatable; gives its text."""


@dataclass(frozen=True, slots=True)
class Instructing:
    """What a run is to make."""

    seeds: Sequence[Seed]
    wanted: int
    model: str
    seed: int = 0
    label: str = "public"

    def fingerprint(self) -> str:
        """The same for runs that go on with each other; `wanted` may grow."""
        told = [one.instruction for one in self.seeds]
        value = orjson.dumps([told, self.model, self.seed, self.label])
        return hashlib.sha256(value).hexdigest()


async def instruct(
    plan: Instructing,
    out: Path,
    ask: Ask,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> dict[str, Any]:
    """Have a model make instructions with their answers, as rows of a data set.

    Each prompt shows six seeds and two tasks of its own, drawn anew. All that came of a prompt is
    in one line of `OUT.log`, from which a run that was stopped goes on: the same lots are drawn, so
    with a model that answers alike the result is the same.

    Args:
        plan: what to make.
        out: the file of rows.
        ask: asks the model.
        progress: is told `stage, done, total`.

    Returns:
        The report: what was made, what was left out by reason, and how diverse it is.

    Raises:
        NoriaError: the log is of another run, or the model makes nothing that is of use.
        ApiError: the budget is spent; what was made is kept.
    """
    log = out.with_name(f"{out.name}.log")
    state = _State(plan)
    with _log(log, plan, state) as file:
        while len(state.rows) < plan.wanted:
            if state.fruitless >= _FRUITLESS:
                raise NoriaError(
                    f"{plan.model} made no usable task in {_FRUITLESS} prompts; "
                    f"{len(state.rows)} of {plan.wanted} are in {log}. "
                    f"Left out: {dict(state.dropped.most_common())}.",
                    "Try a stronger model with --model, or give more and other seeds.",
                )
            step = await _step(plan, state, ask)
            file.write(orjson.dumps(step) + b"\n")
            file.flush()
            state.apply(step)
            progress("instruct", min(len(state.rows), plan.wanted), plan.wanted)
    rows = state.rows[: plan.wanted]
    fresh = out.with_name(f"{out.name}.new")
    fresh.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    fresh.replace(out)
    return {
        "model": plan.model,
        "seeds": len(plan.seeds),
        "rows": len(rows),
        "prompts": state.prompts,
        "dropped": dict(state.dropped.most_common()),
        "diversity": _diversity([row["messages"][0]["content"] for row in rows]),
    }


class _State:
    """What was made up to now, as the log tells it."""

    def __init__(self, plan: Instructing) -> None:
        self.plan = plan
        self.rows: list[dict[str, Any]] = []
        self.tasks: list[str] = []
        self.prompts = self.fruitless = 0
        self.dropped: Counter[str] = Counter()
        self.near = RougeFilter()
        for one in plan.seeds:
            self.near.add(one.instruction)

    def apply(self, step: dict[str, Any]) -> None:
        """Take over what came of one prompt."""
        self.prompts += 1
        self.dropped.update(step["dropped"])
        self.fruitless = 0 if step["rows"] else self.fruitless + 1
        for row in step["rows"]:
            self.rows.append(row)
            self.tasks.append(row["instruction"])
            self.near.add(row["instruction"])


async def _step(plan: Instructing, state: _State, ask: Ask) -> dict[str, Any]:
    lots = random.Random(f"{plan.seed}:{state.prompts}")  # noqa: S311 - lots, no secret
    own = lots.sample(state.tasks, min(_OWN_SHOWN, len(state.tasks)))
    seeds = [one.instruction for one in plan.seeds]
    shown = own + lots.sample(seeds, min(_SEEDS_SHOWN + _OWN_SHOWN - len(own), len(seeds)))
    lots.shuffle(shown)
    reply = await ask(tasks_prompt(shown, _WANTED), 1024)
    tasks, wrong = parse_tasks(reply, len(shown) + 1)
    dropped: Counter[str] = Counter({"unreadable": wrong} if wrong else {})
    fresh = new_tasks(tasks, shown)
    dropped["repeated"] += len(tasks) - len(fresh)
    rows: list[dict[str, Any]] = []
    near = RougeFilter()
    for task in fresh:
        reason = fault_of_instruction(task)
        if reason is None and (state.near.nearest(task) or near.nearest(task)):
            reason = "too_near"
        if reason is None:
            row = await _answered(plan, state.prompts, len(rows), task, ask)
            if isinstance(row, str):
                reason = row
            else:
                rows.append(row)
                near.add(task)
        if reason is not None:
            dropped[reason] += 1
    return {"prompt": state.prompts, "rows": rows, "dropped": dict(+dropped)}


async def _answered(
    plan: Instructing, prompt: int, number: int, task: str, ask: Ask
) -> dict[str, Any] | str:
    """The row of a task, or why there is none."""
    given = parse_input(await ask(input_prompt(task), 512))
    if given is None:
        return "unreadable_input"
    question = f"{task}\n\n{given}" if given else task
    answer = (await ask(question, 1024)).strip()
    if not answer or answer.lower() == given.lower():
        return "empty_answer"
    if fault := fault_of_answer(answer):
        return fault
    identity = f"instruct-{plan.seed}-{prompt}-{number}"
    return {
        "id": identity,
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ],
        "source": f"instruct:{plan.model}",
        "label": plan.label,
        "instruction": task,
        "input": given,
    }


class _log:
    """The log of a run, read from its beginning and then written to."""

    def __init__(self, path: Path, plan: Instructing, state: _State) -> None:
        self._path, self._plan, self._state = path, plan, state

    def __enter__(self) -> BinaryIO:
        end = 0
        if self._path.exists():
            end = self._replay()
        self._file = self._path.open("r+b" if end else "wb")
        self._file.truncate(end)
        self._file.seek(end)
        if not end:
            self._file.write(orjson.dumps({"run": self._plan.fingerprint()}) + b"\n")
        return self._file

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _replay(self) -> int:
        """Take over whole lines; returns where they end. A last one that was cut off is made
        again."""
        end = 0
        with self._path.open("rb") as file:
            for number, line in enumerate(file):
                try:
                    step = orjson.loads(line) if line.endswith(b"\n") else None
                except orjson.JSONDecodeError:
                    step = None
                if step is None:
                    return end
                if number == 0 and step.get("run") != self._plan.fingerprint():
                    raise NoriaError(
                        f"{self._path} is of another run: other seeds, another model or lot.",
                        "Choose another --out, or delete it to begin anew.",
                    )
                if number:
                    self._state.apply(step)
                end += len(line)
        return end


def _diversity(questions: Sequence[str]) -> dict[str, Any]:
    """How different the instructions are: lengths, first words, and shares of distinct n-grams
    (distinct-1 and distinct-2: Li et al. 2016)."""
    texts = [words_of(one) for one in questions]
    words = [word for text in texts for word in text]
    pairs = [pair for text in texts for pair in pairwise(text)]
    return {
        "mean_words": round(len(words) / len(texts), 1) if texts else 0.0,
        "distinct_1": round(len(set(words)) / len(words), 3) if words else 0.0,
        "distinct_2": round(len(set(pairs)) / len(pairs), 3) if pairs else 0.0,
        "first_words": dict(Counter(text[0] for text in texts if text).most_common(10)),
    }
