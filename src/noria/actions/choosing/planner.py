"""Words become a plan: by rules where they speak of machines, else by a model under a grammar."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from noria.actions.choosing.answering import read_answer
from noria.actions.choosing.assembling import make_plan
from noria.actions.choosing.context import INSTRUCTIONS, fitting
from noria.actions.choosing.documented import Documented
from noria.actions.choosing.grammar import Grammar
from noria.actions.choosing.machines import Market, plan_machines
from noria.actions.operation import Effect, Operation
from noria.actions.plan import Plan, PlanStatus
from noria.errors import NoriaError

if TYPE_CHECKING:
    from noria.apps.model.model import Model

__all__ = ["Ask", "Planner", "Prompt", "ask_with"]

_RETRIEVED = 8
_MOST_REQUEST = 4000
_MOST_REPLY_TOKENS = 512
_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_DESTROYING = frozenset(
    [
        "delete",
        "deletes",
        "deleting",
        "remove",
        "removes",
        "removing",
        "destroy",
        "destroying",
        "terminate",
        "terminating",
        "drop",
        "dropping",
        "erase",
        "purge",
        "kill",
        "stop",
        "stopping",
        "end",
        "ending",
        "shut",
        "cancel",
        "clear",
        "wipe",
        "uninstall",
        "revoke",
        "unsubscribe",
        "discard",
        "deregister",
        "release",
        "undo",
        "away",
        "rid",
    ]
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked for one plan."""

    instructions: str
    operations: str
    """Their documentation."""
    request: str
    grammar: Grammar


Ask = Callable[[Prompt], Awaitable[str]]
"""Asks a model and gives its reply, which should be JSON of the grammar."""


class Planner:
    """Makes plans from one state of a catalogue.

    Args:
        catalogue: the operations and the offers.
        effects: what calls may do; operations with other effects are not looked at.
        retrieved: how many operations a model chooses from.
    """

    def __init__(
        self,
        catalogue: Documented,
        *,
        effects: frozenset[Effect] = frozenset(Effect),
        retrieved: int = _RETRIEVED,
    ) -> None:
        self._catalogue = catalogue
        self._effects = effects
        self._retrieved = retrieved
        self._market = Market(catalogue.offers())

    async def plan(self, request: str, ask: Ask | None = None) -> Plan:
        """Make the plan of a request. It is not stored, and nothing is carried out.

        Args:
            request: the words.
            ask: asks a model where rules do not understand the request; None: no model is asked.

        Raises:
            NoriaError: the request is empty or too long.
            ApiError: the model's call was refused or failed.
        """
        request = request.strip()
        if not request or len(request) > _MOST_REQUEST:
            raise NoriaError(
                f"request: it has {len(request)} characters; it must have 1 to {_MOST_REQUEST}.",
                "Say in a few sentences what is to be done.",
            )
        if Effect.CREATE in self._effects:
            found = plan_machines(request, self._catalogue, self._market)
            if found is not None:
                return found
        prompt = self.prompt(request)
        if not prompt.grammar.operations:
            return self._nothing(request, prompt.grammar)
        if ask is None:
            names = ", ".join(operation.id for operation in prompt.grammar.operations[:3])
            return make_plan(
                request,
                self._catalogue,
                PlanStatus.ASKS,
                f"Which model may choose? Rules alone do not understand this; near are {names}.",
            )
        reply = await ask(prompt)
        answer = read_answer(reply, request, prompt.grammar, self._catalogue.offers())
        return make_plan(
            request,
            self._catalogue,
            answer.status,
            answer.reason,
            calls=answer.calls,
            assumptions=[f"Left out: {text}" for text in answer.left_out],
        )

    def prompt(self, request: str) -> Prompt:
        """What a model is asked: few operations, their documentation, one grammar."""
        found = [
            operation
            for operation in self._catalogue.search(request, self._retrieved)
            if operation.effect in self._effects and _is_asked_for(operation, request)
        ]
        text, grammar = fitting(request, found, self._catalogue.offers())
        return Prompt(INSTRUCTIONS, text, request, grammar)

    def _nothing(self, request: str, grammar: Grammar) -> Plan:
        why = "No operation of the catalogue fits this request."
        if grammar.dropped:
            told = "; ".join(f"{name}: {reason}" for name, reason in grammar.dropped.items())
            why = f"What fits cannot be called: no arguments satisfy its schema ({told})."
        return make_plan(request, self._catalogue, PlanStatus.REFUSED, why)


def _is_asked_for(operation: Operation, request: str) -> bool:
    """Whether words of the request are about destroying, where the operation destroys. What a model
    takes for the nearest operation must not take away what nobody spoke of."""
    if operation.effect is not Effect.DESTROY:
        return True
    words = {word.lower() for word in _WORD.findall(request)}
    return bool(words & (_DESTROYING | {_first(operation.name)}))


def _first(name: str) -> str:
    """The verb of an operation's name."""
    found = _WORD.findall(_CAMEL.sub(" ", name))
    return found[0].lower() if found else ""


def ask_with(model: Model) -> Ask:
    """Ask a model of noria's, through its gateway, held to the grammar."""
    from noria.errors import AnswerError

    async def ask(prompt: Prompt) -> str:
        asked = _held_to(model, prompt.grammar.response_format())
        try:
            return await asked.ask(
                prompt.instructions, operations=prompt.operations, request=prompt.request
            )
        except AnswerError as refusal:
            return refusal.reply or ""

    return ask


def _held_to(model: Model, form: dict[str, Any]) -> Model:
    from noria.apps.model.model import Model

    params = {"temperature": 0, "max_tokens": _MOST_REPLY_TOKENS, **model.params}
    return Model(
        model.name,
        timeout=model.timeout,
        retries=model.retries,
        **params | {"response_format": form},
    )
