"""noria's own MCP server offers plan, approve and apply, asked by the official client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client

from noria.testing import FakeProvider
from tests.support.door import PRICES, Door, bearer

RULES = """
[[actions.rules]]
name = "two must look"
decision = "needs_approval"
effects = ["create"]
four_eyes = true
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with FakeProvider() as provider:
        door = Door(tmp_path_factory.mktemp("mcp"), provider, PRICES + RULES)
        yield door.start()
        door.stop()


def call(door: Door, secret: str, tool: str, **arguments: Any) -> Any:
    async def work() -> types.CallToolResult:
        async with (
            httpx2.AsyncClient(headers=bearer(secret), timeout=30) as http,
            streamable_http_client(f"{door.url}/mcp", http_client=http) as streams,
            ClientSession(streams[0], streams[1]) as client,
        ):
            await client.initialize()
            names = {one.name for one in (await client.list_tools()).tools}
            assert {"act_plan", "act_approve", "act_apply"} <= names
            result = await client.call_tool(tool, arguments)
            assert isinstance(result, types.CallToolResult)
            return result

    result = asyncio.run(work())
    if result.is_error:
        (content,) = result.content
        assert isinstance(content, types.TextContent)
        return content.text
    return result.structured_content


def test_an_agent_plans_a_person_signs_and_it_is_applied(door: Door) -> None:
    agent, boss = door.key(user="agent"), door.key(user="boss")
    plan = call(door, agent, "act_plan", request="start two small in north for 1 hour")
    assert plan["status"] == "ready"
    assert plan["calls"][0]["arguments"]["count"] == 2
    waiting = call(door, agent, "act_apply", plan=plan["id"])
    assert (waiting["status"], waiting["rule"]) == ("pending", "two must look")
    assert isinstance(call(door, agent, "act_approve", plan=plan["id"], hash=plan["hash"]), str)
    assert isinstance(call(door, boss, "act_approve", plan=plan["id"], hash="0" * 64), str)
    signed = call(door, boss, "act_approve", plan=plan["id"], hash=plan["hash"])
    assert signed["status"] == "approved"
    assert "There is no plan" in call(door, boss, "act_apply", plan=plan["id"])
    assert call(door, agent, "act_apply", plan=plan["id"])["status"] == "applied"


def test_a_refused_plan_comes_with_alternatives(door: Door) -> None:
    secret = door.key(user="ada")
    plan = call(door, secret, "act_plan", request="launch four VMs with eight A100s in west")
    assert plan["status"] == "refused"
    assert "west" in plan["reason"]
    assert plan["alternatives"][0]["price_hour_nano"] == 4 * 32_772_600_000


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("act_plan", {}, "request"),
        ("act_plan", {"request": 3}, "request"),
        ("act_apply", {"plan": "nothing"}, "no plan"),
        ("act_approve", {"plan": "x", "hash": "y", "confirm": "z"}, "confirm"),
    ],
)
def test_bad_arguments_are_told(door: Door, tool: str, arguments: Any, told: str) -> None:
    assert told in call(door, door.key(user="ada"), tool, **arguments)
