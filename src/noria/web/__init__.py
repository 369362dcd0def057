"""How people reach noria with a browser: pages rendered by the server.

`create_app(context)` gives an ASGI application. Nothing heavy is imported before it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.web.context import Context

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["Context", "create_app"]


def create_app(context: Context) -> Starlette:
    """Make the application that serves the pages of one installation."""
    from noria.web.app import build

    return build(context)
