"""What a target's name stands for: this machine, or a cluster of the configuration."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from noria.config import Cluster, Config
from noria.errors import ConfigError

if TYPE_CHECKING:
    from noria.infra.executor import Executor

__all__ = ["close_all", "cluster_of", "executor_of"]

_GENERIC = ("cluster", "ray")
"""Names that stand for the only cluster there is, whatever it is called."""

_open: dict[str, Executor] = {}
_lock = threading.Lock()


def cluster_of(config: Config, name: str) -> Cluster | None:
    """The cluster of a name; None for this machine.

    `cluster` and `ray` stand for the only one of the configuration, or else for what
    `RAY_ADDRESS` names. Where there is neither, `cluster` is this machine.

    Raises:
        ConfigError: nothing has the name.
    """
    if name == "local":
        return None
    found = config.clusters.get(name)
    if found is not None:
        return found
    if name in _GENERIC:
        if len(config.clusters) == 1:
            return next(iter(config.clusters.values()))
        address = os.environ.get("RAY_ADDRESS")
        if address and not config.clusters:
            return Cluster(address=address)
        if name == "cluster" and not config.clusters:
            return None
    known = ", ".join(config.clusters) or "none"
    raise ConfigError(
        f"There is no cluster {name!r}. noria.toml has: {known}.",
        f'Write it there: [clusters.{name}] and address = "host:6379"; or set RAY_ADDRESS.',
    )


def executor_of(config: Config, name: str) -> Executor:
    """The executor of a target, opened at the first call in this process.

    Raises:
        ConfigError: nothing has the name.
        ClusterAway: the cluster does not answer.
        NoriaError: Ray is not installed.
    """
    cluster = cluster_of(config, name)
    kept = name if cluster is not None else "local"
    with _lock:
        if kept not in _open:
            if cluster is None:
                from noria.infra.local.executor import LocalExecutor

                _open[kept] = LocalExecutor()
            else:
                from noria.infra.ray.executor import RayExecutor

                _open[kept] = RayExecutor(cluster)
        return _open[kept]


def close_all() -> None:
    """End all work of this process in others."""
    with _lock:
        executors = list(_open.values())
        _open.clear()
    for executor in executors:
        executor.close()


def _after_fork() -> None:
    """The executors of a parent are not its child's."""
    global _lock
    _lock = threading.Lock()
    _open.clear()


os.register_at_fork(after_in_child=_after_fork)
