"""What the policy says of a plan: allow, needs approval or deny, and the rule that decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from noria.action_settings import ActionRule, Actions
from noria.actions.operation import Effect
from noria.actions.plans.facts import PlanFacts
from noria.actions.plans.person import Person
from noria.actions.plans.rules import Rule, Usage

__all__ = ["Decision", "Policy"]

Verdict = Literal["allow", "needs_approval", "deny"]

_READS = "built-in: what only reads is allowed"
_DEFAULT = "built-in: actions.default"
_PRICE = "built-in: a price is unknown"
_STRENGTH = {"allow": 0, "needs_approval": 1, "deny": 2}


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy says of a plan."""

    verdict: Verdict
    rule: str
    """The name of the rule that decided."""
    to_satisfy: tuple[Rule, ...] = ()
    """The rules that must be satisfied by signatures."""
    calls: tuple[tuple[Verdict, str], ...] = ()
    """For each call, what was said of it and by which rule."""

    def unsigned(self, signers: Sequence[Person], planner: Person) -> list[Rule]:
        """The rules that these signatures do not satisfy."""
        return [
            rule
            for rule in self.to_satisfy
            if len({one.name for one in signers if rule.may_sign(one, planner)})
            < rule.settings.signatures
        ]

    def as_json(self) -> dict[str, Any]:
        """The decision as programs read it."""
        return {
            "decision": self.verdict,
            "rule": self.rule,
            "must_sign": [
                {
                    "rule": rule.name,
                    "signatures": rule.settings.signatures,
                    "approvers": list(rule.settings.approvers),
                    "four_eyes": rule.settings.four_eyes,
                }
                for rule in self.to_satisfy
            ],
            "calls": [{"decision": verdict, "rule": rule} for verdict, rule in self.calls],
        }


class Policy:
    """The rules of `[actions]`, ready to be asked.

    Deny wins over needs approval, which wins over allow. A call that no rule speaks of is allowed
    if it only reads, else `actions.default` says.
    """

    def __init__(self, settings: Actions) -> None:
        self._rules = [Rule(rule) for rule in settings.rules]
        self._default = Rule(ActionRule(name=_DEFAULT, decision=settings.default))
        self._price = Rule(ActionRule(name=_PRICE, decision="needs_approval"))
        self._reads = Rule(ActionRule(name=_READS, decision="allow"))

    def decide(self, plan: PlanFacts, planner: Person, usage: Usage, at: datetime) -> Decision:
        """Judge a plan.

        Args:
            plan: its facts.
            planner: who has asked for it.
            usage: what other plans come to.
            at: when it is, or would be, carried out.
        """
        by_call: list[list[Rule]] = [[] for _ in plan.calls]
        for rule in self._rules:
            for place in rule.calls(plan, planner, usage, at):
                by_call[place].append(rule)
        for call, rules in zip(plan.calls, by_call, strict=True):
            if not rules:
                rules.append(self._reads if call.effect is Effect.READ else self._default)
            if not call.price_known:
                rules.append(self._price)
        decisive = [max(rules, key=lambda rule: _STRENGTH[rule.decision]) for rules in by_call]
        if not decisive:
            return Decision("allow", _READS)
        strongest = max(decisive, key=lambda rule: _STRENGTH[rule.decision])
        signed = dict.fromkeys(
            rule for rules in by_call for rule in rules if rule.decision == "needs_approval"
        )
        return Decision(
            strongest.decision,
            strongest.name,
            tuple(signed) if strongest.decision == "needs_approval" else (),
            tuple((rule.decision, rule.name) for rule in decisive),
        )
