"""Checks at work: what they look at is bound, their verdict is recorded, and an answer that does
not pass is held back."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import random
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from noria.apps.declare.check import Check, Verdict
from noria.apps.run.context import RunState
from noria.apps.run.serialise import as_json, as_text
from noria.apps.run.sync import in_thread
from noria.errors import ApiError, StoreUnavailable
from noria.tracing import CallContext, current, span
from noria.types import SpanKind, Status

if TYPE_CHECKING:
    from noria.apps.declare.function import Function
    from noria.retrieval import Document

__all__ = ["Evidence", "Judgement", "check_later", "check_now", "judge", "settle"]

log = logging.getLogger("noria.apps")

_PASSES = 0.5
_random = random.Random()  # noqa: S311 - which answers are looked at is no secret
_pending: set[Future[Any]] = set()
os.register_at_fork(after_in_child=_pending.clear)  # they are made in the parent


class _Nothing(Exception):
    """There is nothing to look at."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """An answer with what it came from: of live traffic, of a data set, or of the arena."""

    function: Function
    arguments: Mapping[str, Any]
    reply: Any
    notes: list[Document] = field(default_factory=list)
    results: Mapping[str, list[Any]] = field(default_factory=dict)
    """What steps gave, by name."""

    def find(self, check: Check, name: str) -> Any:
        """What a parameter of a check is given.

        Raises:
            LookupError: the step did not run.
        """
        parameter = self.function.signature.parameters.get(name)
        if parameter is not None:
            return self.arguments.get(name, parameter.default)
        match name:
            case "reply":
                return self.reply
            case "notes":
                return self.notes
            case "messages":
                return self.messages()
        results = self.results.get(name, [])
        if check.takes_all(name):
            return results
        return results[-1]

    def messages(self) -> list[dict[str, Any]]:
        """The conversation that was answered, as OpenAI's messages."""
        history = [dict(message) for message in self.arguments.get("history") or ()]
        question = self.arguments.get("question")
        if question is None:
            question = dict(self.arguments)
        return [*history, {"role": "user", "content": as_text(question)}]


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a check came out."""

    outcome: Literal["pass", "fail", "skip", "error"]
    """`skip`: there was nothing to look at, or its judge is not cleared for what was read."""
    score: float | None = None
    reason: str = ""


async def judge(check: Check, evidence: Evidence) -> Judgement:
    """Make a check, and record it if this is a run. A check that fails in any way is an outcome,
    never an exception."""
    with span(SpanKind.CHECK, check.name) as work:
        try:
            given = _bound(check, evidence)
            work.request = as_json(given)
            async with asyncio.timeout(check.timeout):
                found = await _called(check, given)
            work.response = as_json(found)
            judgement = _read(check, found)
        except _Nothing as nothing:
            judgement = Judgement("skip", reason=str(nothing))
        except Exception as failure:  # noqa: BLE001 - a check is user code
            judgement = _failed(check, failure)
            work.error, work.status = failure, Status.ERROR
            if judgement.outcome == "skip":
                work.status = Status.REFUSED
        work.attributes = {
            "check": check.name,
            "outcome": judgement.outcome,
            "severity": check.severity,
        }
        if judgement.score is not None:
            work.attributes["score"] = judgement.score
        if judgement.reason and (work.context is None or work.context.content):
            work.attributes["reason"] = judgement.reason  # it may quote the answer
    return judgement


async def check_now(this: RunState, reply: Any) -> None:
    """Make the checks that block.

    Raises:
        ApiError: 422 `check_failed`: one did not pass, or could not be made.
    """
    blocking = [check for check in this.function.checks if check.blocks]
    evidence = _evidence(this, reply)
    found = await asyncio.gather(*(judge(check, evidence) for check in blocking))
    for check, judgement in zip(blocking, found, strict=True):
        if judgement.outcome == "pass":
            continue
        said = "did not pass" if judgement.outcome == "fail" else "could not be made"
        raise ApiError(
            422, "check_failed",
            f"The answer of {this.function.full_name} is held back: its check {check.name} {said}.",
        )  # fmt: skip


def check_later(this: RunState, reply: Any, context: CallContext) -> None:
    """Make a sample of the other checks after the answer was handed out, on the gateway's loop:
    the caller's may end with the answer.

    Args:
        this: the run that has ended.
        reply: what it gave.
        context: the place inside its root span.
    """
    due = [
        check
        for check in this.function.checks
        if not check.blocks and _random.random() < check.sample
    ]
    if not due:
        return
    evidence = _evidence(this, reply)

    async def work() -> None:
        current.set(context)
        for check in due:
            await judge(check, evidence)

    begun = asyncio.run_coroutine_threadsafe(work(), context.runtime.loop)
    _pending.add(begun)
    begun.add_done_callback(_through)


async def settle(seconds: float) -> None:
    """Wait for the checks that are under way, at most so many seconds."""
    if _pending:
        await asyncio.wait([asyncio.wrap_future(one) for one in tuple(_pending)], timeout=seconds)


def _through(done: Future[Any]) -> None:
    _pending.discard(done)
    if not done.cancelled() and (failure := done.exception()) is not None:
        level = logging.WARNING if isinstance(failure, StoreUnavailable) else logging.ERROR
        log.log(level, "a check could not be recorded: %s", failure)


def _evidence(this: RunState, reply: Any) -> Evidence:
    return Evidence(this.function, this.arguments, reply, list(this.notes), dict(this.results))


def _bound(check: Check, evidence: Evidence) -> dict[str, Any]:
    given = {}
    for name in check.names:
        try:
            given[name] = evidence.find(check, name)
        except LookupError:
            raise _Nothing(f"the step {name} did not run") from None
    return given


async def _called(check: Check, given: dict[str, Any]) -> Any:
    if inspect.iscoroutinefunction(check.call):
        return await check.call(**given)
    found = await in_thread(check.call, **given)
    return await found if inspect.isawaitable(found) else found


def _read(check: Check, found: Any) -> Judgement:
    if hasattr(found, "item"):  # a number of numpy
        found = found.item()
    if isinstance(found, bool):
        found = Verdict(found)
    elif isinstance(found, (int, float)) and 0 <= found <= 1:
        found = Verdict(found >= _PASSES, float(found))
    if not isinstance(found, Verdict):
        raise TypeError(
            f"{check.name} gave {found!r}; a check gives a bool, a number from 0 to 1, or a Verdict"
        )
    return Judgement("pass" if found.passed else "fail", found.score, found.reason)


def _failed(check: Check, failure: Exception) -> Judgement:
    if isinstance(failure, ApiError) and failure.code == "label_exceeds_clearance":
        return Judgement("skip", reason=failure.message)
    if isinstance(failure, TimeoutError):
        return Judgement("error", reason=f"it did not end within {check.timeout:g} s")
    return Judgement("error", reason=f"{type(failure).__name__}: {failure}"[:400])
