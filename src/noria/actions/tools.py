"""Actions as tools of a model, for applications: `App.actions`.

A model says in words what is to be done; what it may see and do is decided by the key of the run,
by the effects that the application allows, and by the policy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from noria.actions.operation import Effect
from noria.errors import NoriaError

if TYPE_CHECKING:
    from noria.actions.desk import Desk
    from noria.actions.plans.store import StoredPlan
    from noria.apps.model.model import Model
    from noria.store import Key

__all__ = ["make_tools"]

_CLOUD = "cloud"


def make_tools(
    app: str, catalogue: str | None, effects: Sequence[str], model: Callable[[], Model]
) -> list[Callable[..., Any]]:
    """The tools `act` and `go_on`.

    Args:
        app: the application.
        catalogue: the part whose operations may be called; `cloud` for all that start machines.
        effects: what calls may do.
        model: the model that chooses operations where rules do not understand the words.

    Raises:
        ValueError: there is no such effect.
    """
    tools = _Tools(app, catalogue, frozenset(map(_effect, effects)), model)
    return [tools.act, tools.go_on]


def _effect(name: str) -> Effect:
    try:
        return Effect(name)
    except ValueError:
        known = ", ".join(Effect)
        raise ValueError(f"there is no effect {name!r}; there is: {known}") from None


class _Tools:
    def __init__(
        self,
        app: str,
        catalogue: str | None,
        effects: frozenset[Effect],
        model: Callable[[], Model],
    ) -> None:
        self._app = app
        self._catalogue = catalogue
        self._effects = effects
        self._model = model

    async def act(self, request: str) -> str:
        """Have something done by an API, such as starting machines.

        Say in one sentence what, how many, of what kind and where. The answer says what was done;
        or that a person must sign the plan first (pending); or what is missing (asks); or why it
        cannot be done, with alternatives (refused).
        """
        from noria.actions.choosing import ask_with

        desk, key = await self._desk()
        try:
            stored = await desk.plan(
                request,
                key,
                ask_with(self._model()),
                app=self._app,
                names=self._names(desk),
                effects=self._effects,
            )
            return await self._carry_out(desk, stored, key)
        except NoriaError as refusal:
            return _json({"status": "failed", "reason": refusal.message})

    async def go_on(self, plan: str) -> str:
        """Carry out a plan that was pending, once it was signed, or an alternative that was
        offered. `plan` is its id. The answer says what was done, or that it is still pending.
        """
        desk, key = await self._desk()
        try:
            stored = await asyncio.to_thread(desk.own, plan, key, self._app)
            self._check(desk, stored)
            return await self._carry_out(desk, stored, key)
        except NoriaError as refusal:
            return _json({"status": "failed", "reason": refusal.message})

    async def _desk(self) -> tuple[Desk, Key]:
        from noria.actions.opening import desk_of
        from noria.apps.run.standalone import current_context

        context = await current_context()
        desk = await asyncio.to_thread(desk_of, context.runtime.config)
        return desk, context.trace.key

    def _names(self, desk: Desk) -> list[str] | None:
        if self._catalogue is None or self._catalogue in desk.names:
            return None if self._catalogue is None else [self._catalogue]
        return desk.names_that_start() if self._catalogue == _CLOUD else [self._catalogue]

    def _check(self, desk: Desk, stored: StoredPlan) -> None:
        """Refuse a plan that these tools could not have made."""
        names = self._names(desk)
        for call in stored.plan.calls:
            inside = names is None or call.operation.partition(".")[0] in names
            if call.effect not in self._effects or not inside:
                raise NoriaError(f"{self._app} may not call {call.operation}.")

    async def _carry_out(self, desk: Desk, stored: StoredPlan, key: Key) -> str:
        return _json(await asyncio.to_thread(desk.carry_out, stored, key, self._app))


def _json(told: dict[str, Any]) -> str:
    return orjson.dumps(told).decode()
