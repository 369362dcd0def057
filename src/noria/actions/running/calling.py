"""One call of a plan, made so often as it takes and never once too often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from noria.actions.operation import Effect, Operation
from noria.actions.plan import Plan
from noria.actions.provider import Key, Provider, ProviderError, Resource
from noria.actions.running.environment import Environment
from noria.actions.running.journal import Entry, RunJournal, asked_by, in_doubt
from noria.actions.running.observing import watch
from noria.actions.running.references import resolved

__all__ = ["CallFailed", "OutcomeUnknown", "end_resource", "make_call"]


class CallFailed(Exception):
    """A call was refused, or failed as often as it was tried. Nothing of it is left."""


class OutcomeUnknown(Exception):
    """Nobody can tell whether a call was carried out."""


def make_call(
    environment: Environment,
    plan: Plan,
    place: int,
    results: Mapping[int, Any],
    before: Sequence[Entry],
) -> dict[str, Any]:
    """Make a call, or go on with one that a dead process has begun.

    Args:
        environment: what the run works with.
        plan: the plan.
        place: that of the call.
        results: of the calls that it needs.
        before: what the journal says of the run until now.

    Returns:
        Its result.

    Raises:
        CallFailed: it was refused for good.
        OutcomeUnknown: its outcome cannot be known.
    """
    return _Call(environment, plan, place, results, before).make()


class _Call:
    def __init__(
        self,
        environment: Environment,
        plan: Plan,
        place: int,
        results: Mapping[int, Any],
        before: Sequence[Entry],
    ) -> None:
        self.environment = environment
        self.plan = plan
        self.place = place
        call = plan.calls[place]
        self.operation: Operation = environment.operation(call.operation)
        self.provider: Provider = environment.provider(self.operation.provider)
        self.arguments: dict[str, Any] = resolved(call.arguments, results)
        self.journal: RunJournal = environment.journal(plan.id)
        self.key = Key(plan.id, place)
        mine = [entry for entry in before if entry.call == place]
        self.result = next((e.content["result"] for e in mine if e.kind == "result"), None)
        calls = [entry for entry in mine if entry.kind == "call"]
        self.in_doubt = in_doubt(mine)
        self.called_ns = asked_by(mine, environment.pace.clock()) if calls else 0
        self.makes = self.operation.effect is Effect.CREATE and self.provider.traits.tags
        self.counted = self.operation.starts.get("count")
        wanted = self.arguments.get(self.counted, 1) if self.counted else 1
        self.wanted = wanted if isinstance(wanted, int) else 1

    def make(self) -> dict[str, Any]:
        if self.result is not None:
            return dict(self.result)
        if not self.makes:
            return self._done(self._make_once())
        return self._done(self._make_all())

    def _done(self, result: dict[str, Any]) -> dict[str, Any]:
        self.journal.write("result", self.place, result=result)
        return result

    # A call whose outcome cannot be observed

    def _make_once(self) -> dict[str, Any]:
        """Make a call that leaves nothing with our tags."""
        for attempt in range(self.environment.settings.attempts):
            if self.in_doubt and not self._may_repeat():
                raise OutcomeUnknown(
                    f"{self.operation.id} was called, no answer came, and nothing shows whether it "
                    "was carried out."
                )
            try:
                return self._ask(self.arguments)
            except ProviderError as failed:
                self._note(failed)
                if not (failed.again or failed.unknown):
                    raise CallFailed(f"{self.operation.id}: {failed.message}") from failed
            self.environment.pause_after(attempt)
        if self.in_doubt:
            raise OutcomeUnknown(f"{self.operation.id} was called, and no answer came.")
        raise CallFailed(f"{self.operation.id} was refused as often as it was tried.")

    def _may_repeat(self) -> bool:
        return self.operation.idempotent or self.operation.effect is Effect.READ

    # A call that makes resources with our tags

    def _make_all(self) -> dict[str, Any]:
        """Make resources, until as many as were asked for are seen, and no more."""
        answer: dict[str, Any] | None = None
        found: list[Resource] = []
        if self.called_ns:
            found = self._watch()
        for attempt in range(self.environment.settings.attempts):
            if len(found) >= self.wanted:
                break
            if attempt:
                self.environment.pause_after(attempt - 1)
            try:
                answer = self._ask(self._for(self.wanted - len(found)))
            except ProviderError as failed:
                self._note(failed)
                if not (failed.again or failed.unknown):
                    self._take_back(found)
                    raise CallFailed(f"{self.operation.id}: {failed.message}") from failed
            found = self._watch()
        if len(found) < self.wanted:
            self._take_back(found)
            raise CallFailed(
                f"{self.operation.id}: {len(found)} of {self.wanted} could be had, which were "
                "given back."
            )
        found = self._without_surplus(found, answer)
        if answer is not None and _ids(answer) == {one.id for one in found}:
            return answer
        self.journal.write("adopted", self.place, resources=[one.id for one in found])
        return self.provider.result_of(self.operation, found)

    def _for(self, number: int) -> dict[str, Any]:
        return {**self.arguments, self.counted: number} if self.counted else self.arguments

    def _watch(self) -> list[Resource]:
        return watch(
            self.environment, self.provider, self.plan, self.place,
            since_ns=self.called_ns, enough=self.wanted, surely=self.in_doubt,
        )  # fmt: skip

    def _without_surplus(
        self, found: list[Resource], answer: dict[str, Any] | None
    ) -> list[Resource]:
        """End what is more than was asked for: the provider has carried a call out twice."""
        told = _ids(answer or {})
        found.sort(key=lambda one: (one.id not in told, one.id))
        surplus = found[self.wanted :]
        if surplus:
            self.journal.write("surplus", self.place, resources=[one.id for one in surplus])
        self._take_back(surplus)
        return found[: self.wanted]

    def _take_back(self, resources: Sequence[Resource]) -> None:
        for resource in resources:
            end_resource(self.environment, self.provider, self.journal, self.place, resource)

    # Asking

    def _ask(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self.journal.write(
            "call",
            self.place,
            operation=self.operation.id,
            arguments=arguments,
            key=str(self.key),
        )
        self.in_doubt = True
        try:
            answer = self.provider.apply(self.operation, arguments, str(self.key))
        finally:
            # It was carried out by now if it ever was.
            self.called_ns = self.environment.pace.clock()
        self.in_doubt = False
        return answer

    def _note(self, failed: ProviderError) -> None:
        self.in_doubt = failed.unknown
        self.journal.write(
            "failed",
            self.place,
            code=failed.code,
            message=failed.message,
            again=failed.again,
            unknown=failed.unknown,
        )


def end_resource(
    environment: Environment,
    provider: Provider,
    journal: RunJournal,
    place: int,
    resource: Resource,
) -> None:
    """End a resource, asking again where that may help. Whether it is gone is for observing."""
    journal.write("destroy", place, provider=resource.provider, id=resource.id)
    for attempt in range(environment.settings.attempts):
        try:
            provider.destroy(resource)
        except ProviderError as failed:
            journal.write("failed", place, code=failed.code, message=failed.message, id=resource.id)
            if not (failed.again or failed.unknown):
                return
        else:
            journal.write("destroyed", place, provider=resource.provider, id=resource.id)
            return
        environment.pause_after(attempt)


def _ids(answer: Mapping[str, Any]) -> set[str]:
    return {str(one.get("id")) for one in answer.get("resources", ()) if isinstance(one, dict)}
