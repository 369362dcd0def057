"""How people reach noria with a browser: pages rendered by the server, and the API beside them.

`create_app(context)` gives an ASGI application. Nothing heavy is imported before it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.web.context import Context

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Context", "create_app"]


def create_app(context: Context) -> ASGIApp:
    """Make the application that serves the pages of one installation, and its API.

    A request whose key the door has checked (`state.key` in the scope) is one of the API.
    """
    from noria.web.api import build_api
    from noria.web.app import build

    pages, api = build(context), build_api(context)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await (api if "key" in scope["state"] else pages)(scope, receive, send)

    return serve
