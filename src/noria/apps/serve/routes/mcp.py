"""Functions as tools of the Model Context Protocol, at `/mcp` (streamable HTTP, without sessions,
so that any worker can answer any request). The tools of a key are those that it may use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from starlette.routing import Route

from noria.apps.serve.client import AppClient
from noria.apps.serve.manifest import Manifest
from noria.apps.serve.routes.common import client_of, context_of
from noria.errors import ApiError, NoriaError
from noria.gateway.core import may_use

if TYPE_CHECKING:
    from mcp import types
    from mcp.server.context import ServerRequestContext
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from starlette.routing import BaseRoute
    from starlette.types import Receive, Scope, Send

    from noria.gateway import Gateway
    from noria.store import Key

__all__ = ["ServedTool", "mcp_routes"]

TRACE = "noria/trace"
"""Where a result says its trace: a key of its `_meta`."""
_UNKNOWN_TOOL = -32602


@dataclass(frozen=True, slots=True)
class ServedTool:
    """A tool that is no function of an application."""

    name: str
    title: str
    description: str
    schema: dict[str, Any]
    """Of its arguments: a JSON schema of an object."""
    call: Callable[[Key, Mapping[str, Any]], Awaitable[dict[str, Any]]]
    """Makes the call on behalf of a key. A `NoriaError` is told to the model that called."""


def mcp_routes(gateway: Gateway, tools: Sequence[ServedTool] = ()) -> Sequence[BaseRoute]:
    """The route of the MCP door, with these tools beside the functions of applications."""
    return [Route("/mcp", _Door(gateway, tools))]


class _Door:
    """The door as an ASGI application. What it needs is loaded when somebody comes."""

    def __init__(self, gateway: Gateway, tools: Sequence[ServedTool]) -> None:
        self._gateway = gateway
        self._tools = {tool.name: tool for tool in tools}
        self._manager: asyncio.Future[StreamableHTTPSessionManager] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._manager is None:
            self._manager = asyncio.get_running_loop().create_future()
            self._living = asyncio.create_task(self._live(self._manager))
        manager = await asyncio.shield(self._manager)
        await manager.handle_request(scope, receive, send)

    async def _live(self, made: asyncio.Future[StreamableHTTPSessionManager]) -> None:
        """Keep what serves the requests for as long as this process lives."""
        try:
            manager = await asyncio.to_thread(self._make)
            async with manager.run():
                made.set_result(manager)
                await asyncio.Event().wait()
        except Exception as failure:
            if made.done():
                raise
            made.set_exception(failure)
            self._manager = None

    def _make(self) -> StreamableHTTPSessionManager:
        from mcp.server.lowlevel import Server
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        from noria import __version__

        server: Server[Any] = Server(
            "noria",
            version=__version__,
            instructions="The functions of applications that noria serves, and plans of API calls.",
            on_list_tools=self._list,
            on_call_tool=self._call,
        )
        most = self._gateway.config.limits.body_bytes
        return StreamableHTTPSessionManager(
            server, json_response=True, stateless=True, max_request_body_size=most
        )

    async def _list(self, context: ServerRequestContext[Any, Any], _: Any) -> types.ListToolsResult:
        from mcp import types

        assert context.request is not None
        key = context.request.state.key
        client = self._gateway.applications
        functions = _functions(client) if isinstance(client, AppClient) else ()
        tools = [
            types.Tool(
                name=_tool(manifest, function),
                title=f"{manifest.title}: {function['name']}",
                description=function["doc"] or None,
                input_schema=function["parameters"],
                output_schema=_object(function["returns"]),
            )
            for manifest, function in functions
            if may_use(key, manifest.name)
        ]
        tools += [
            types.Tool(
                name=tool.name,
                title=tool.title,
                description=tool.description,
                input_schema=tool.schema,
            )
            for tool in self._tools.values()
        ]
        return types.ListToolsResult(tools=tools)

    async def _call(
        self, context: ServerRequestContext[Any, Any], asked: types.CallToolRequestParams
    ) -> types.CallToolResult:
        from mcp import types

        request = context.request
        assert request is not None
        if asked.name in self._tools:
            return await self._call_own(self._tools[asked.name], request.state.key, asked)
        body = orjson.dumps(asked.arguments or {})
        meta: dict[str, Any] = {}
        try:
            app, function = _find(client_of(self._gateway), asked.name)
            served = client_of(self._gateway).get(app)
            call_context = await context_of(self._gateway, request)
            visit = served.visit(request.state.key, call_context, function=function)
            meta[TRACE] = visit.trace
            pieces = served.client.call(served, visit, request.state.key, body)
            answer = orjson.loads(b"".join([piece async for piece in pieces]))
        except ApiError as refusal:
            # Said to the model that called the tool, which may do better next time.
            said = types.TextContent(type="text", text=refusal.message)
            meta["noria/code"] = refusal.code
            return types.CallToolResult(content=[said], is_error=True, _meta=meta)
        text = answer if isinstance(answer, str) else orjson.dumps(answer).decode()
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)],
            structured_content=answer if isinstance(answer, dict) else None,
            _meta=meta,
        )

    async def _call_own(
        self, tool: ServedTool, key: Key, asked: types.CallToolRequestParams
    ) -> types.CallToolResult:
        from mcp import types

        try:
            told = await tool.call(key, asked.arguments or {})
        except NoriaError as refusal:
            said = types.TextContent(type="text", text=str(refusal))
            return types.CallToolResult(content=[said], is_error=True)
        text = types.TextContent(type="text", text=orjson.dumps(told).decode())
        return types.CallToolResult(content=[text], structured_content=told)


def _functions(client: AppClient) -> Iterator[tuple[Manifest, dict[str, Any]]]:
    for manifest in client.apps():
        for function in manifest.functions:
            yield manifest, function


def _tool(manifest: Manifest, function: dict[str, Any], variant: str = "") -> str:
    return f"{manifest.name}{variant}_{function['name']}"


def _find(client: AppClient, tool: str) -> tuple[str, str]:
    """The application (or its variant, as in `support@cheap_answer`) and the function of a tool."""
    from mcp.shared.exceptions import MCPError

    for manifest, function in _functions(client):
        for variant in ("", *(f"@{name}" for name in manifest.variants)):
            if _tool(manifest, function, variant) == tool:
                return f"{manifest.name}{variant}", function["name"]
    raise MCPError(_UNKNOWN_TOOL, f"There is no tool {tool!r}; tools/list names them all.")


def _object(schema: dict[str, Any]) -> dict[str, Any] | None:
    """A schema that a tool's structured result can have: it must be one of an object."""
    return schema if schema.get("type") == "object" else None
