"""Whether a resource answers, and takes its secret."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from noria.errors import NoriaError
from noria.infra.deploying.wires import Reference

if TYPE_CHECKING:
    from noria.infra.catalogue.entries import Resource

__all__ = ["connect"]

_SECONDS = 5.0
_PORTS = {"redis": 6379, "rediss": 6379, "qdrant": 6333, "ray": 10001, "clickhouse": 8123}
_HIDDEN = "…"


def connect(resource: Resource) -> str:
    """Connect once.

    Returns: "" where it answers, else what went wrong, without the secret.
    """
    secret: str | None = None
    try:
        if resource.secret is not None:
            secret = Reference.parse(resource.secret, "secret").read()
        scheme = urlsplit(resource.address).scheme.partition("+")[0]
        if scheme in ("postgresql", "postgres", "sqlite"):
            problem = _database(resource.address, secret)
        elif scheme in ("http", "https"):
            problem = _http(resource.address, secret)
        elif scheme == "file":
            path = Path(urlsplit(resource.address).path)
            problem = "" if path.is_dir() else f"there is no folder {path}"
        else:
            problem = _socket(resource.address, scheme)
    except NoriaError as failed:
        problem = failed.message
    # A driver may repeat what it was given.
    return problem.replace(secret, _HIDDEN) if secret else problem


def _database(address: str, secret: str | None) -> str:
    from sqlalchemy import create_engine, make_url, text
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        url = make_url(address)
    except ArgumentError:
        return "its address is no URL of a database"
    options: dict[str, object] = {}
    if url.get_backend_name() in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
        options = {"connect_args": {"connect_timeout": int(_SECONDS)}}
        if secret is not None:
            url = url.set(password=secret)
    elif url.database and not Path(url.database).exists():
        return f"there is no file {url.database}"  # and connecting would make one
    try:
        engine = create_engine(url, **options)
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError) as failed:
        return str(getattr(failed, "orig", None) or failed).strip().split("\n")[0]
    return ""


def _http(address: str, secret: str | None) -> str:
    import httpx2

    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    try:
        answer = httpx2.get(address, headers=headers, timeout=_SECONDS, follow_redirects=False)
    except httpx2.HTTPError as failed:
        return f"{type(failed).__name__}: {failed}"
    if answer.status_code in (401, 403):
        return f"it answers and does not take the secret ({answer.status_code})"
    return f"it answers with {answer.status_code}" if answer.status_code >= 500 else ""


def _socket(address: str, scheme: str) -> str:
    parts = urlsplit(address)
    port = parts.port or _PORTS.get(scheme)
    if parts.hostname is None or port is None:
        return f"nobody here knows how to connect to {scheme}; name its port"
    try:
        socket.create_connection((parts.hostname, port), timeout=_SECONDS).close()
    except OSError as failed:
        return str(failed)
    return ""
