"""The MCP door, asked by the official client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from noria.testing import FakeProvider, Reply
from noria.types import Usage
from tests.apps.serving import OTHER, SUPPORT
from tests.support.door import PRICES, Door, bearer, wait_until


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Two workers: no request may rely on what another one has seen."""
    with FakeProvider(Reply(text="Certainly.", usage=Usage(5, 2))) as provider:
        apps = {"support.py": SUPPORT, "other.py": OTHER}
        door = Door(tmp_path_factory.mktemp("mcp"), provider, PRICES, workers=2, apps=apps)
        yield door.start()
        door.stop()


@asynccontextmanager
async def session(door: Door, secret: str, **headers: str) -> AsyncIterator[ClientSession]:
    """A session of the official client."""
    async with (
        httpx2.AsyncClient(headers=bearer(secret) | headers, timeout=30) as http,
        streamable_http_client(f"{door.url}/mcp", http_client=http) as streams,
        ClientSession(streams[0], streams[1]) as client,
    ):
        await client.initialize()
        yield client


def call(door: Door, secret: str, tool: str, **arguments: Any) -> types.CallToolResult:
    async def work() -> types.CallToolResult:
        async with session(door, secret) as client:
            result = await client.call_tool(tool, arguments)
            assert isinstance(result, types.CallToolResult)
            return result

    return asyncio.run(work())


def said(result: types.CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    return content.text


def test_every_function_is_a_tool(door: Door) -> None:
    async def work() -> list[types.Tool]:
        async with session(door, door.key()) as client:
            return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in asyncio.run(work())}
    assert {"support_answer", "support_triage", "other_echo"} <= set(tools)
    triage = tools["support_triage"]
    assert triage.description == "Makes a ticket more urgent."
    assert triage.input_schema["required"] == ["ticket"]
    assert triage.output_schema is not None
    assert tools["support_add"].output_schema is None


def test_a_tool_gives_its_result_and_its_trace(door: Door) -> None:
    result = call(door, door.key(user="mia"), "support_triage", ticket={"title": "It burns"})
    assert result.structured_content == {"title": "It burns", "urgency": 2}
    assert result.meta is not None
    trace = result.meta["noria/trace"]
    runs = [span for span in door.spans(user="mia") if span.trace_id == trace]
    assert [span.name for span in runs] == ["support.triage"]


def test_a_chat_function_is_a_tool_like_any_other(door: Door) -> None:
    assert said(call(door, door.key(), "support_answer", question="a b")) == "0 before; a b"
    assert said(call(door, door.key(), "support@loud_answer", question="a b")) == "0 before; a! b!"


def test_wrong_arguments_are_told_to_the_model(door: Door) -> None:
    result = call(door, door.key(), "support_add", a="many")
    assert result.is_error
    assert "a: input should be a valid integer" in said(result)


def test_a_failure_says_no_more_than_at_other_doors(door: Door) -> None:
    result = call(door, door.key(), "support_fail")
    assert result.is_error
    assert "plover" not in said(result)


def test_an_unknown_tool_is_an_error_of_the_protocol(door: Door) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        call(door, door.key(), "support_nothing")
    (found,) = _leaves(caught.value)
    assert isinstance(found, MCPError)
    assert found.code == types.INVALID_PARAMS


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    return [
        leaf
        for one in group.exceptions
        for leaf in (_leaves(one) if isinstance(one, BaseExceptionGroup) else [one])
    ]


def test_a_key_sees_the_tools_of_its_applications_alone(door: Door) -> None:
    secret = door.key(models=["other"])

    async def work() -> set[str]:
        async with session(door, secret) as client:
            return {tool.name for tool in (await client.list_tools()).tools}

    # Plans of API calls are for every key: the policy says what becomes of them.
    own = {"act_plan", "act_approve", "act_apply"}
    assert asyncio.run(work()) - own == {"other_echo", "other_relay"}
    result = call(door, secret, "support_add", a=1)
    assert result.is_error
    assert "may not use support" in said(result)


def test_a_wrong_key_is_told_how_to_come_in(door: Door) -> None:
    hello = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"accept": "application/json, text/event-stream"}
    for headers in (bearer("wrong"), {}):
        answer = httpx2.post(f"{door.url}/mcp", json=hello, headers=headers | accept)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


def test_what_is_no_mcp_is_refused(door: Door) -> None:
    with door.client(door.key()) as client:
        assert client.post("/mcp", content=b"{").status_code in (400, 406)
        assert client.post("/mcp", json={"jsonrpc": "2.0"}).status_code in (400, 406)
        assert client.put("/mcp", json={}).status_code == 405


def test_a_client_who_leaves_ends_the_run(door: Door) -> None:
    call_ = {"name": "support_wait_for", "arguments": {"name": "mcp-left"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call_}
    accept = {"accept": "application/json, text/event-stream"}

    async def work() -> None:
        async with httpx2.AsyncClient(headers=bearer(door.key()) | accept) as http:
            asking = asyncio.create_task(http.post(f"{door.url}/mcp", json=body))
            await asyncio.to_thread(wait_until, (door.folder / "mcp-left.begun").exists, 10)
            asking.cancel()

    asyncio.run(work())
    wait_until((door.folder / "mcp-left.cancelled").exists, 10)


def test_a_conversation_may_be_named_by_a_header(door: Door) -> None:
    secret = door.key()

    async def work(question: str) -> str:
        async with session(door, secret, **{"x-noria-conversation": "mcp"}) as client:
            result = await client.call_tool("support_answer", {"question": question})
            assert isinstance(result, types.CallToolResult)
            return said(result)

    assert asyncio.run(work("one")) == "0 before; one"
    assert asyncio.run(work("two")) == "2 before; two"
