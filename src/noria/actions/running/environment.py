"""What runs work with: the database, the catalogue, the providers, the settings and the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from noria.action_settings import Actions
from noria.actions.operation import Operation
from noria.actions.plan import Plan
from noria.actions.plans.facts import Known
from noria.actions.provider import Metering, Provider
from noria.actions.running.journal import RunJournal
from noria.actions.running.pace import Pace
from noria.errors import NoriaError
from noria.store.database import Database

__all__ = ["Environment"]

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True)
class Environment:
    """What runs work with."""

    db: Database
    known: Known
    providers: Mapping[str, Provider]
    settings: Actions
    take_in: Callable[[], int]
    """Takes in the journals of this home, by which money comes back."""
    pace: Pace = field(default_factory=Pace)

    @cached_property
    def operations(self) -> dict[str, Operation]:
        """The operations of the catalogue by their ids."""
        return {operation.id: operation for operation in self.known.operations()}

    def operation(self, name: str) -> Operation:
        """An operation by its id.

        Raises:
            NoriaError: it is in no catalogue.
        """
        if name not in self.operations:
            raise NoriaError(
                f"There is no operation {name}.", "Add its catalogue: noria act catalogue add"
            )
        return self.operations[name]

    def provider(self, name: str) -> Provider:
        """A provider by its name.

        Raises:
            NoriaError: it cannot be used here.
        """
        if name not in self.providers:
            raise NoriaError(
                f"The provider {name} cannot be used here.",
                f"Configure it in noria.toml: [actions.{name}].",
            )
        return self.providers[name]

    def provider_of(self, plan: Plan, call: int) -> Provider:
        """Who carries out a call."""
        return self.provider(self.operation(plan.calls[call].operation).provider)

    def providers_of(self, plan: Plan) -> list[Provider]:
        """All who carry out calls of a plan."""
        names = dict.fromkeys(self.operation(call.operation).provider for call in plan.calls)
        return [self.provider(name) for name in names]

    @property
    def meterings(self) -> dict[str, Metering]:
        """How each provider counts time."""
        return {name: provider.traits.metering for name, provider in self.providers.items()}

    def journal(self, plan_id: str) -> RunJournal:
        """The journal of a plan's run."""
        return RunJournal(self.db, plan_id, self.pace)

    def pause_after(self, attempt: int) -> None:
        """Wait before a call is tried again, twice as long each time."""
        self.pace.pause(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt))
