"""Actions as tools of noria's own MCP server: plan, approve, apply.

An agent plans and applies; approving is for the key of somebody whom the policy lets sign, which is
not that of the agent where two must sign.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from noria.actions.opening import desk_of
from noria.apps.serve.routes.mcp import ServedTool
from noria.errors import NoriaError
from noria.tracing import CallContext, Trace, current

if TYPE_CHECKING:
    from noria.actions.choosing import Ask
    from noria.gateway import Gateway
    from noria.store import Key

__all__ = ["action_tools"]

_TEXT = {"type": "string"}


def action_tools(gateway: Gateway) -> list[ServedTool]:
    """The tools, which act on behalf of the key of each call."""
    tools = _Tools(gateway)
    return [
        ServedTool(
            "act_plan",
            "Plan API calls",
            "Make a plan of API calls from words. It is priced and checked; nothing is carried "
            "out. A plan that is refused says which word cannot be met, and offers alternatives.",
            _schema({"request": _TEXT, "model": _TEXT}, ["request"]),
            tools.plan,
        ),
        ServedTool(
            "act_approve",
            "Approve a plan",
            "Sign a plan by the hash of what was read. What it destroys must be named in confirm.",
            _schema(
                {"plan": _TEXT, "hash": _TEXT, "confirm": {"type": "array", "items": _TEXT}},
                ["plan", "hash"],
            ),
            tools.approve,
        ),
        ServedTool(
            "act_apply",
            "Carry out a plan",
            "Carry out a plan of one's own, if the policy lets it pass or it was signed; otherwise "
            "it says who must sign.",
            _schema({"plan": _TEXT}, ["plan"]),
            tools.apply,
        ),
    ]


def _schema(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


class _Tools:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def plan(self, key: Key, given: Mapping[str, Any]) -> dict[str, Any]:
        request, model = _text(given, "request"), given.get("model")
        desk = await asyncio.to_thread(desk_of, self._gateway.config)
        ask = self._ask(_text(given, "model")) if model is not None else None
        token = current.set(CallContext(self._gateway, Trace(key)))
        try:
            stored = await desk.plan(request, key, ask)
        finally:
            current.reset(token)
        return stored.plan.as_json()

    async def approve(self, key: Key, given: Mapping[str, Any]) -> dict[str, Any]:
        named = given.get("confirm") or []
        if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
            raise NoriaError("confirm: it must be a list of texts.")
        desk = await asyncio.to_thread(desk_of, self._gateway.config)
        plan, hash_ = _text(given, "plan"), _text(given, "hash")
        return await asyncio.to_thread(desk.approve, plan, hash_, key, confirmed=named)

    async def apply(self, key: Key, given: Mapping[str, Any]) -> dict[str, Any]:
        desk = await asyncio.to_thread(desk_of, self._gateway.config)
        stored = await asyncio.to_thread(desk.own, _text(given, "plan"), key)
        return await asyncio.to_thread(desk.carry_out, stored, key)

    def _ask(self, name: str) -> Ask:
        from noria.actions.choosing import ask_with
        from noria.apps.model.model import Model

        return ask_with(Model(name))


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise NoriaError(f"{name}: it must be a text that is not empty.")
    return value
