"""Where work runs past one process: executors, clusters, engines of several machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.infra.executor import (
        ClusterAway,
        Executor,
        RemoteFailure,
        UnpicklableValue,
        WorkerDied,
    )
    from noria.infra.local.executor import LocalExecutor
    from noria.infra.ray.executor import RayExecutor
    from noria.infra.resources import NotPlaceable, Resources
    from noria.infra.targets import executor_of

__all__ = [
    "ClusterAway",
    "Executor",
    "LocalExecutor",
    "NotPlaceable",
    "RayExecutor",
    "RemoteFailure",
    "Resources",
    "UnpicklableValue",
    "WorkerDied",
    "executor_of",
]

__getattr__ = load_on_use(
    __name__,
    {
        "executor": "ClusterAway Executor RemoteFailure UnpicklableValue WorkerDied",
        "local.executor": "LocalExecutor",
        "ray.executor": "RayExecutor",
        "resources": "NotPlaceable Resources",
        "targets": "executor_of",
    },
)
