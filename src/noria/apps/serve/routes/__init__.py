"""The doors to applications beside the chat door: REST, its OpenAPI documents, MCP, feedback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from noria.apps.serve.routes.mcp import ServedTool
    from noria.gateway import Gateway
    from noria.store import Database

__all__ = ["routes"]


def routes(gateway: Gateway, db: Database, tools: Sequence[ServedTool] = ()) -> Sequence[BaseRoute]:
    """The routes of all of them. The door has checked the key, which is `request.state.key`.

    Args:
        gateway: the gateway of this process.
        db: the database of the home.
        tools: what the MCP server offers beside the functions of applications.
    """
    from noria.apps.serve.routes.feedback import feedback_routes
    from noria.apps.serve.routes.mcp import mcp_routes
    from noria.apps.serve.routes.rest import rest_routes

    return [*feedback_routes(gateway, db), *rest_routes(gateway), *mcp_routes(gateway, tools)]
