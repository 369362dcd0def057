"""An executor over a Ray cluster.

Failures never come as Ray's: the worker catches what is raised and sends it as an outcome, so that
only the death of a worker, of a machine or of the head is Ray's to tell.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from noria.apps.run.context import RunState, running
from noria.config import Cluster
from noria.errors import NoriaError
from noria.infra.executor import ClusterAway, WorkerDied
from noria.infra.mapping import in_order
from noria.infra.ray.bundle import bundle_of
from noria.infra.ray.cluster import answers, connect, machines, ray_module
from noria.infra.resources import Resources, must_fit
from noria.infra.values import explain
from noria.infra.work import Outcome, Work, carry_out, carry_out_stream, work_for
from noria.tracing import CallContext, current

__all__ = ["RayExecutor", "told"]

T = TypeVar("T")

_RETRIES = 2
_LOOK_SECONDS = 2.0
_AWAY_AFTER = 3
"""Looks in vain after which the head is taken for dead."""


def _do(work: Work, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Outcome:
    return carry_out(work, args, kwargs, _folder(work))


def _do_stream(work: Work, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[Any]:
    yield from carry_out_stream(work, args, kwargs, _folder(work))


def _folder(work: Work) -> str | None:
    """Where the bundle lies here: Ray starts a worker in it."""
    return os.getcwd() if work.folder is not None else None


class RayExecutor:
    """Runs functions on a Ray cluster.

    Raises:
        ClusterAway: it does not answer.
        NoriaError: Ray is not installed.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ray = connect(cluster)
        self._address: str = self._ray.get_runtime_context().gcs_address
        self._environments: dict[str | None, dict[str, Any]] = {None: {}}
        self._prepared: dict[Any, Any] = {}
        self._refs: dict[Future[Any], Any] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._look, name="noria-cluster", daemon=True).start()

    def submit(
        self,
        function: Callable[..., T],
        /,
        *args: Any,
        cpus: float = 1,
        gpus: float = 0,
        memory: str | int | None = None,
        custom: Mapping[str, float] | None = None,
        idempotent: bool = False,
        **kwargs: Any,
    ) -> Future[T]:
        work = work_for(function)
        remote = self._remote(work, self._fitting(cpus, gpus, memory, custom), idempotent)
        return self._begin(remote, work, function, args, kwargs)

    def map(
        self,
        function: Callable[[Any], T],
        items: Iterable[Any],
        *,
        concurrency: int | None = None,
        cpus: float = 1,
        gpus: float = 0,
        memory: str | int | None = None,
        custom: Mapping[str, float] | None = None,
        idempotent: bool = False,
    ) -> Iterator[T]:
        work = work_for(function)
        remote = self._remote(work, self._fitting(cpus, gpus, memory, custom), idempotent)
        place = current.get(), running.get()
        if concurrency is None:
            concurrency = max(1, 2 * int(self._ray.cluster_resources().get("CPU", 1)))
        return in_order(
            lambda item: self._begin(remote, work, function, (item,), {}, place),
            self.cancel,
            items,
            concurrency,
        )

    def stream(
        self,
        function: Callable[..., Iterable[T]],
        /,
        *args: Any,
        cpus: float = 1,
        gpus: float = 0,
        memory: str | int | None = None,
        custom: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> Iterator[T]:
        work = work_for(function)
        wanted = self._fitting(cpus, gpus, memory, custom)
        remote = self._remote(work, wanted, False, streams=True)
        context, run = current.get(), running.get()
        pieces = self._sent(remote, work, function, args, kwargs)
        try:
            for ref in pieces:
                piece = self._ray.get(ref)
                if isinstance(piece, Outcome):
                    piece.settle(context, run)
                    return
                yield piece
        except BaseException as failure:  # noqa: BLE001 - raised again, in noria's words
            self._end(pieces)
            raise told(failure, work.title) from None

    def gang(
        self,
        function: Callable[..., T],
        size: int,
        /,
        *args: Any,
        cpus: float = 1,
        gpus: float = 0,
        memory: str | int | None = None,
        custom: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> list[Future[T]]:
        from ray.util.placement_group import placement_group, remove_placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        work = work_for(function)
        one = self._fitting(cpus, gpus, memory, custom)
        share = _as_ray(one)
        self._must_hold(one, size)
        group = placement_group([share] * size, strategy="PACK")
        group.wait()
        members: list[Future[T]] = []
        left = [size]

        def ended(member: Future[T]) -> None:
            with self._lock:
                left[0] -= 1
                last = left[0] == 0
            if last:
                remove_placement_group(group)
            if member.cancelled() or member.exception() is not None:
                for other in members:
                    self.cancel(other)

        for rank in range(size):
            strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)
            remote = self._remote(work, one, False, strategy=strategy)
            members.append(self._begin(remote, work, function, (rank, size, *args), kwargs))
        for member in members:
            member.add_done_callback(ended)
        return members

    def cancel(self, future: Future[Any]) -> None:
        with self._lock:
            ref = self._refs.pop(future, None)
        if ref is not None:
            self._end(ref)
            if not future.cancel():
                with contextlib.suppress(Exception):  # it ended just now
                    future.set_exception(CancelledError())

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            under_way = list(self._refs)
        for future in under_way:
            self.cancel(future)

    # One piece of work

    def _begin(
        self,
        remote: Any,
        work: Work,
        function: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        place: tuple[CallContext | None, RunState | None] | None = None,
    ) -> Future[T]:
        context, run = place or (current.get(), running.get())
        ref = self._sent(remote, work, function, args, kwargs)
        future: Future[T] = Future()
        with self._lock:
            self._refs[future] = ref

        def came(result: Any) -> None:
            with self._lock:
                self._refs.pop(future, None)
            try:
                if isinstance(result, Outcome):
                    value = result.settle(context, run)
                else:
                    raise told(result, work.title)
            except BaseException as failure:  # noqa: BLE001 - it is raised where it is waited for
                with contextlib.suppress(Exception):  # it was cancelled meanwhile
                    future.set_exception(failure)
            else:
                with contextlib.suppress(Exception):
                    future.set_result(value)

        ref._on_completed(came)
        return future

    def _sent(
        self,
        remote: Any,
        work: Work,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        try:
            return remote.remote(work, args, kwargs)
        except Exception as failure:  # noqa: BLE001 - as above
            names = tuple(inspect.signature(function).parameters)
            raise explain(work.title, args, kwargs, names) or told(failure, work.title) from None

    def _remote(
        self,
        work: Work,
        wanted: Resources,
        idempotent: bool,
        *,
        streams: bool = False,
        strategy: Any = None,
    ) -> Any:
        """Ray's function for this kind of work, prepared once."""
        key = (
            work.folder,
            work.app_file,
            work.home,
            tuple(wanted.table().items()),
            idempotent,
            streams,
        )
        with self._lock:
            found = self._prepared.get(key) if strategy is None else None
            if found is not None:
                return found
            if work.folder not in self._environments:
                bundle = bundle_of(str(work.folder))
                self._environments[work.folder] = bundle.runtime_env(install=self._cluster.install)
            environment = self._environments[work.folder]
            if work.home is not None:
                environment = environment | {"env_vars": {"NORIA_HOME": work.home}}
            options = _as_ray(wanted)
            cpus, gpus = options.pop("CPU", 0), options.pop("GPU", 0)
            memory = options.pop("memory", 0)
            found = self._ray.remote(_do_stream if streams else _do).options(
                num_cpus=cpus,
                num_gpus=gpus,
                memory=memory or None,
                resources=options,
                max_retries=_RETRIES if idempotent else 0,
                runtime_env=environment or None,
                name=work.title,
                scheduling_strategy=strategy,
                **({"num_returns": "streaming"} if streams else {}),
            )
            if strategy is None:
                self._prepared[key] = found
            return found

    def _fitting(
        self,
        cpus: float,
        gpus: float,
        memory: str | int | None,
        custom: Mapping[str, float] | None,
    ) -> Resources:
        wanted = Resources.of(cpus, gpus, memory, custom)
        if not self._cluster.autoscales and (gpus or memory or custom or cpus > 1):
            must_fit(wanted, machines(self._ray), "the cluster")
        return wanted

    def _must_hold(self, one: Resources, size: int) -> None:
        """Refuse a gang that all machines together have no room for."""
        if self._cluster.autoscales:
            return
        places = 0
        for machine in machines(self._ray):
            places += min(
                int(machine.get(name, 0) // amount) for name, amount in one.table().items()
            )
        if places < size:
            raise NoriaError(
                f"A gang of {size} was asked for, but the cluster has room for {places} of such.",
                "Ask for fewer, or for less for each.",
            )

    def _end(self, ref: Any) -> None:
        with contextlib.suppress(Exception):  # it ended just now, or the cluster is gone
            self._ray.cancel(ref, force=True)

    def _look(self) -> None:
        """Fail what is under way when the head is gone: Ray would wait, then end the process."""
        missed = 0
        while not self._closed.wait(_LOOK_SECONDS):
            missed = 0 if answers(self._address) else missed + 1
            if missed < _AWAY_AFTER:
                continue
            with self._lock:
                under_way, self._refs = list(self._refs), {}
            for future in under_way:
                with contextlib.suppress(Exception):
                    future.set_exception(_away(self._address))


def told(failure: Any, title: str) -> BaseException:
    """What Ray tells, in noria's words: without colours, addresses and paths."""
    errors = ray_module().exceptions
    if isinstance(failure, errors.TaskCancelledError):
        return CancelledError()
    if isinstance(failure, errors.RuntimeEnvSetupError):
        return NoriaError(
            f"The cluster cannot prepare the environment of {title}.",
            "See the log of the cluster for what could not be installed.",
        )
    if isinstance(failure, errors.RayTaskError):
        cause = failure.cause
        if isinstance(cause, ModuleNotFoundError):
            return NoriaError(
                f"The worker has no package {cause.name}.",
                "Install the same noria on the machines of the cluster.",
            )
        return NoriaError(f"{title} failed on the cluster: {type(cause).__name__}: {cause}")
    if isinstance(failure, errors.OutOfMemoryError):
        return WorkerDied(f"The worker that did {title} ran out of memory.", "Ask for memory=.")
    if isinstance(failure, errors.RayError):
        return WorkerDied(
            f"The worker that did {title} died.",
            "Look into the log of the cluster; mark the step idempotent=True to have it done "
            "again.",
        )
    assert isinstance(failure, BaseException)
    return failure


def _away(address: str) -> ClusterAway:
    return ClusterAway(
        f"The head of the cluster at {address} is gone; work that was under way there is lost.",
        "Start the cluster again, then the same command: what is done is not done twice.",
    )


def _as_ray(wanted: Resources) -> dict[str, float]:
    """By Ray's names."""
    named = {"cpus": "CPU", "gpus": "GPU"}
    return {named.get(name, name): amount for name, amount in wanted.table().items()}
