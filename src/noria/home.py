"""Whether a server runs on a home."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Server", "running_server"]

_HEALTH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers, and what it says of itself at `/health`."""

    url: str
    health: dict[str, Any]


def running_server(home: Path) -> Server | None:
    """The server that runs on this home and answers; None without one."""
    import httpx2
    import orjson

    try:
        url = str(orjson.loads((home / "serve.json").read_bytes())["url"]).rstrip("/")
        answer = httpx2.get(f"{url}/health", timeout=_HEALTH_SECONDS).raise_for_status()
        return Server(url, dict(answer.json()))
    except (OSError, ValueError, KeyError, TypeError, httpx2.HTTPError):
        return None
