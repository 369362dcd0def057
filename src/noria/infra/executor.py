"""Where work runs: one interface for processes of this machine and for clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from noria.errors import NoriaError

__all__ = ["ClusterAway", "Executor", "RemoteFailure", "UnpicklableValue", "WorkerDied"]

T = TypeVar("T")


class WorkerDied(NoriaError):
    """The process that did the work ended before it was through."""


class ClusterAway(NoriaError):
    """The cluster does not answer."""


class RemoteFailure(NoriaError):
    """What was raised by the work cannot be sent back as it was; this says what it was."""


class UnpicklableValue(NoriaError):
    """A value cannot be sent to another process."""


class Executor(Protocol):
    """Runs functions of modules in other processes.

    Work that is handed in inside of a run goes on with it: its caller, its grants, its mark, its
    place in the trace. Exceptions come back as they were raised; their cause says where, by the
    user's own lines.

    The keywords of `submit`, `map`, `stream` and `gang`: `cpus`, `gpus` (a part of one too),
    `memory` (`"8GB"`), and `custom` (amounts by name) are what one piece of work has while it
    runs; an `idempotent` one is begun again where its worker died.
    """

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
        """Begin one piece of work.

        Raises:
            NotPlaceable: no machine has what is asked for.
            UnpicklableValue: an argument cannot be sent; the message says which.
            NoriaError: the function cannot be found by its name.
        """

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
        """Results in the order of the items, of which `concurrency` are worked on at a time; they
        are read as there is room. Leaving early cancels what is under way."""

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
        """What a generator yields, piece by piece. Leaving early cancels it."""

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
        """Begin `function(rank, size, *args)` for every rank at the same time, or none of them.
        When one fails the others are cancelled."""

    def cancel(self, future: Future[Any]) -> None:
        """End work that is under way, and free what it holds."""

    def close(self) -> None:
        """End all work."""
