"""One rule of the policy, made ready to be asked many times."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fnmatch import translate

from noria.action_settings import ActionRule
from noria.actions.plans.facts import CallFacts, PlanFacts
from noria.actions.plans.hours import Hours
from noria.actions.plans.person import Person
from noria.types import Money, Window

__all__ = ["Rule", "Usage"]

_SECONDS = 3600

Usage = Callable[[Window, str | None], tuple[int, int]]
"""What plans that were carried out in the present window may cost (nano-dollars) and use
(accelerator seconds), of one person or (None) of all."""


@dataclass(frozen=True, slots=True)
class _Names:
    """A condition on a name that may be unknown."""

    pattern: re.Pattern[str] | None

    @classmethod
    def of(cls, globs: Iterable[str]) -> _Names:
        parts = [translate(glob) for glob in globs]
        return cls(re.compile("|".join(parts)) if parts else None)

    def hold(self, name: str | None, unknown: bool) -> bool:
        if self.pattern is None:
            return True
        return unknown if name is None else self.pattern.match(name) is not None


class Rule:
    """A rule of `[[actions.rules]]`, or one that is built in."""

    def __init__(self, settings: ActionRule) -> None:
        self.settings = settings
        self.name = settings.name
        self.decision = settings.decision
        # What is not known before the call is made counts as what the rule forbids or has signed.
        self._unknown = settings.decision != "allow"
        self._effects = frozenset(settings.effects)
        self._operations = _Names.of(settings.operations)
        self._providers = _Names.of(settings.providers)
        self._regions = _Names.of(settings.regions)
        self._except_regions = _Names.of(settings.except_regions)
        self._types = _Names.of(settings.instance_types)
        self._hours = Hours.parse(settings.hours) if settings.hours else None
        self._except_hours = Hours.parse(settings.except_hours) if settings.except_hours else None
        self._price = _money(settings.price_hour_over)
        self._ceiling = _money(settings.ceiling_over)
        self._gpu = _gpu_hours(settings.gpu_hours_over)

    def calls(self, plan: PlanFacts, person: Person, usage: Usage, at: datetime) -> list[int]:
        """The places of the calls that the rule speaks of, none where it does not apply."""
        if not self._applies(plan, person, at):
            return []
        found = [place for place, call in enumerate(plan.calls) if self._speaks_of(call)]
        limit = self.settings.count_over
        if found and limit is not None:
            counts = [plan.calls[place].count for place in found]
            if None in counts:
                if not self._unknown:
                    return []
            elif sum(count or 0 for count in counts) <= limit:
                return []
        # Looked up last: it asks the database.
        return found if found and self._over(plan, person, usage) else []

    def may_sign(self, person: Person, planner: Person) -> bool:
        """Whether somebody's signature counts for this rule."""
        if self.settings.four_eyes and person.name == planner.name:
            return False
        return not self.settings.approvers or person.is_any_of(self.settings.approvers)

    def _applies(self, plan: PlanFacts, person: Person, at: datetime) -> bool:
        settings = self.settings
        return (
            (not settings.people or person.is_any_of(settings.people))
            and (not settings.except_people or not person.is_any_of(settings.except_people))
            and (self._hours is None or self._hours.hold(at))
            and (self._except_hours is None or not self._except_hours.hold(at))
            and (self._price is None or plan.price_hour_nano > self._price)
            and (self._ceiling is None or plan.ceiling_nano > self._ceiling)
        )

    def _speaks_of(self, call: CallFacts) -> bool:
        settings = self.settings
        if self._effects and call.effect not in self._effects:
            return False
        if settings.irreversible is not None and call.irreversible != settings.irreversible:
            return False
        return (
            self._operations.hold(call.operation, False)
            and self._providers.hold(call.provider, False)
            and self._types.hold(call.instance_type, self._unknown)
            and self._regions.hold(call.region, self._unknown)
            and (self._except_regions.pattern is None or self._is_elsewhere(call.region))
        )

    def _is_elsewhere(self, region: str | None) -> bool:
        """Whether a call has a region, and none of those that are excepted."""
        if region is None:
            return self._unknown
        return region != "" and not self._except_regions.hold(region, False)

    def _over(self, plan: PlanFacts, person: Person, usage: Usage) -> bool:
        whose = person.name if self.settings.per_person else None
        if (spend := self.settings.spend_over) is not None:
            spent, _ = usage(spend.window, whose)
            if spent + plan.ceiling_nano <= int(spend.limit):
                return False
        if self._gpu is not None:
            limit, window = self._gpu
            _, used = usage(window, whose)
            if used + plan.accelerator_seconds <= limit:
                return False
        return True


def _money(text: str | None) -> int | None:
    if text is None:
        return None
    return int(Money.from_usd(text.removesuffix(" USD").replace(",", "").replace("_", "")))


def _gpu_hours(text: str | None) -> tuple[int, Window] | None:
    """A limit in accelerator seconds, and its window."""
    if text is None:
        return None
    hours, _, window = text.partition("/")
    return int(Decimal(hours) * _SECONDS), Window(window) if window else Window.TOTAL
