"""What the doors share: the applications of this server, and the run that a request is part of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.apps.serve.client import AppClient, Served
from noria.errors import ApiError
from noria.tracing import CallContext
from noria.tracing.headers import context_from_headers

if TYPE_CHECKING:
    from starlette.requests import Request

    from noria.gateway import Gateway

__all__ = ["client_of", "context_of", "served"]


def client_of(gateway: Gateway) -> AppClient:
    """What knows the applications of this server.

    Raises:
        ApiError: 404 where none are served.
    """
    client = gateway.applications
    if not isinstance(client, AppClient):
        raise ApiError(
            404, "app_not_found",
            "This server serves no application. Start it with one: noria serve app.py",
        )  # fmt: skip
    return client


def served(gateway: Gateway, name: str) -> Served:
    """The application, or its variant, of a name.

    Raises:
        ApiError: 404 `app_not_found` or `variant_not_found`.
    """
    return client_of(gateway).get(name)


async def context_of(gateway: Gateway, request: Request) -> CallContext | None:
    """The run or conversation that a request's headers name.

    Raises:
        ApiError: 503 when the store does not answer.
    """

    def header(name: bytes) -> bytes | None:
        value = request.headers.get(name.decode())
        return None if value is None else value.encode("latin-1")

    return await context_from_headers(gateway, request.state.key, header)
