"""Functions as tools of the Model Context Protocol, at `/mcp` (streamable HTTP, without sessions,
so that any worker can answer any request). The tools of a key are those that it may use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from starlette.routing import Route

from noria.apps.serve.client import AppClient
from noria.apps.serve.manifest import Manifest
from noria.apps.serve.routes.common import client_of, context_of
from noria.errors import ApiError
from noria.gateway.core import may_use

if TYPE_CHECKING:
    from mcp import types
    from mcp.server.context import ServerRequestContext
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from starlette.routing import BaseRoute
    from starlette.types import Receive, Scope, Send

    from noria.gateway import Gateway

__all__ = ["mcp_routes"]

TRACE = "noria/trace"
"""Where a result says its trace: a key of its `_meta`."""
_UNKNOWN_TOOL = -32602


def mcp_routes(gateway: Gateway) -> Sequence[BaseRoute]:
    """The route of the MCP door."""
    return [Route("/mcp", _Door(gateway))]


class _Door:
    """The door as an ASGI application. What it needs is loaded when somebody comes."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
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
            instructions="The functions of the applications that noria serves.",
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
        return types.ListToolsResult(tools=tools)

    async def _call(
        self, context: ServerRequestContext[Any, Any], asked: types.CallToolRequestParams
    ) -> types.CallToolResult:
        from mcp import types

        request = context.request
        assert request is not None
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
