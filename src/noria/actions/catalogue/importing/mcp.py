"""Tools of an MCP server as operations. Its annotations are hints, not truth."""

from __future__ import annotations

import asyncio
import shlex
from typing import Any

from noria.actions.catalogue.importing.documents import is_address
from noria.actions.catalogue.importing.effects import effect_of_name
from noria.actions.catalogue.importing.names import Names
from noria.actions.catalogue.importing.openapi.references import References
from noria.actions.catalogue.importing.openapi.schemas import Schemas, is_satisfiable
from noria.actions.operation import Effect, Operation
from noria.errors import NoriaError

__all__ = ["operations_of_tools", "read_mcp"]

_SECONDS = 30.0
_MOST_TOOLS = 10_000


def read_mcp(name: str, source: str) -> tuple[list[Operation], list[tuple[str, str]]]:
    """The tools of a server. Blocks.

    Args:
        name: of the catalogue.
        source: its address, or the command line that starts it.

    Returns:
        The operations, and those that nothing can call, each with the reason.

    Raises:
        NoriaError: the server cannot be reached, or is none.
    """
    try:
        tools = asyncio.run(asyncio.wait_for(_tools(source), _SECONDS))
    except NoriaError:
        raise
    except TimeoutError:
        raise NoriaError(f"{source} did not answer in {_SECONDS:.0f} s.") from None
    except Exception as failed:  # noqa: BLE001 - whatever the client's transports raise
        raise NoriaError(
            f"{source} cannot be asked as an MCP server: {_why(failed)}.",
            "Name its address (https://host/mcp), or the command that starts it.",
        ) from None
    return operations_of_tools(name, source, tools)


def _why(failed: BaseException) -> str:
    while isinstance(failed, BaseExceptionGroup) and failed.exceptions:
        failed = failed.exceptions[0]
    return " ".join(str(failed).split())[:200] or type(failed).__name__


async def _tools(source: str) -> list[Any]:
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client

    server: Any = source
    if not is_address(source):
        words = shlex.split(source)
        if not words:
            raise NoriaError("The command line is empty.", "Name an address or a command.")
        server = stdio_client(StdioServerParameters(command=words[0], args=words[1:]))
    found: list[Any] = []
    async with Client(server) as client:
        cursor: str | None = None
        while True:
            answer = await client.list_tools(cursor=cursor)
            found += answer.tools
            cursor = answer.next_cursor
            if not cursor or len(found) >= _MOST_TOOLS:
                return found


def operations_of_tools(
    name: str, source: str, tools: list[Any]
) -> tuple[list[Operation], list[tuple[str, str]]]:
    """Tools as operations.

    What a tool is called decides what it may do; an annotation can make that graver and never
    milder, since the server wrote it. One that says nothing of itself changes something.
    """
    found, lost, names = [], [], Names()
    for tool in tools:
        given = tool.input_schema if isinstance(tool.input_schema, dict) else {}
        try:
            schema = Schemas(References(given, source)).resolve(given)
        except NoriaError as wrong:
            lost.append((tool.name, wrong.message))
            continue
        schema.setdefault("properties", {})
        schema.setdefault("required", [])
        schema["type"] = "object"
        if not is_satisfiable(schema):
            lost.append((tool.name, "no value can meet its schema"))
            continue
        hints = tool.annotations
        effect = effect_of_name(tool.name)
        if (
            hints is not None
            and hints.destructive_hint is True
            and hints.read_only_hint is not True
        ):
            effect = Effect.DESTROY if effect is not Effect.READ else Effect.CHANGE
        if hints is not None and hints.read_only_hint is False and effect is Effect.READ:
            effect = Effect.CHANGE
        told = " ".join((tool.description or "").split())
        found.append(
            Operation(
                name,
                names.take(tool.name),
                (tool.title or told.partition(". ")[0] or tool.name)[:300],
                schema,
                effect,
                "mcp",
                tool.description or "",
                returns=tool.output_schema or {},
                idempotent=effect is Effect.READ,
                binding={
                    "server": source,
                    "tool": tool.name,
                    "hints": hints.model_dump(exclude_none=True) if hints is not None else {},
                },
            )
        )
    return found, lost
