"""A Ray cluster, as a process of noria is connected to it.

A process whose cluster goes away is ended by Ray itself after a minute, without a word; so whoever
waits for work there looks by `answers` whether the head is still there.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Mapping
from typing import Any

from noria.config import Cluster
from noria.errors import NoriaError
from noria.infra.executor import ClusterAway

__all__ = ["answers", "connect", "machines", "ray_module"]

_CONNECT_SECONDS = 3.0
_lock = threading.Lock()
_connected: str | None = None


def ray_module() -> Any:
    """Ray.

    Raises:
        NoriaError: it is not installed.
    """
    # What Ray would print of itself is not part of any verb's output.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
    except ImportError:
        raise NoriaError("Ray is not installed.", "pip install 'noria[ray]'") from None
    return ray


def connect(cluster: Cluster) -> Any:
    """Connect this process, once; gives Ray.

    Raises:
        ClusterAway: no head listens there, or it does not take the token.
        NoriaError: Ray is not installed, or this process is connected to another cluster.
    """
    global _connected
    _show_token(cluster)
    ray = ray_module()
    address = _address(cluster)
    with _lock:
        if ray.is_initialized():
            if _connected not in (None, address):
                raise NoriaError(
                    f"This process works on the cluster at {_connected}, not on {address}.",
                    "Place the steps of one application on one cluster.",
                )
            _connected = address
            return ray
        if not answers(address):
            raise ClusterAway(
                f"No Ray head listens at {address}.", "Start one: ray start --head --port=6379"
            )
        _must_be_let_in(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
        except Exception as refusal:  # noqa: BLE001 - Ray has many ways to say no
            raise ClusterAway(
                f"The cluster at {address} lets nobody in: {_first_line(refusal)}"
            ) from None
        _connected = address
    return ray


def _show_token(cluster: Cluster) -> None:
    """Put the token where Ray looks for it, which it does once, when it is imported."""
    if cluster.token_env is None:
        return
    token = os.environ.get(cluster.token_env)
    if not token:
        raise NoriaError(
            f"{cluster.token_env} is not set, which holds the token of the cluster.",
            f"export {cluster.token_env}=...",
        )
    os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", token


def _must_be_let_in(address: str) -> None:
    """Ask whether the token is taken: Ray itself tries for minutes before it says no."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    found: list[Any] = []

    def ask() -> None:
        try:
            GcsClient(address=address).check_alive([], timeout=_CONNECT_SECONDS)
        except Exception as refusal:  # noqa: BLE001 - as above
            found.append(refusal)
        else:
            found.append(None)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_CONNECT_SECONDS * 3)
    if not found or (found[0] is not None and "auth" in str(found[0]).lower()):
        raise ClusterAway(
            f"The cluster at {address} does not take this token.",
            "Set token_env for the cluster, or RAY_AUTH_MODE=token and RAY_AUTH_TOKEN.",
        )


def answers(address: str) -> bool:
    """Whether a head listens at an address."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), _CONNECT_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def machines(ray: Any) -> list[Mapping[str, float]]:
    """What each machine of the cluster has, by noria's names."""
    return [named(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def named(resources: Mapping[str, float]) -> dict[str, float]:
    """Ray's amounts by noria's names."""
    known = {"CPU": "cpus", "GPU": "gpus"}
    return {known.get(name, name): amount for name, amount in resources.items()}


def _address(cluster: Cluster) -> str:
    if cluster.address != "auto":
        return cluster.address.removeprefix("ray://")
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        from ray._private.services import find_gcs_addresses

        running = sorted(find_gcs_addresses())
        if not running:
            raise ClusterAway(
                "No Ray head runs on this machine.", "Start one: ray start --head --port=6379"
            )
        address = running[0]
    return address


def _first_line(failure: BaseException) -> str:
    return (str(failure) or type(failure).__name__).splitlines()[0]
