"""A piece of work on its way to another process, and what comes back.

There it runs under a ticket of the run that handed it in (`apps.run.tickets`): the same key, the
same trace, the same mark. Back come its value or its failure, the trace's mark as it then is, the
tokens it used, and the results of steps that checks of the run will look at.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.apps.run.context import RunState, running
from noria.apps.run.tickets import ContextToken, ticket
from noria.errors import NoriaError
from noria.infra.executor import RemoteFailure
from noria.infra.values import explain_result
from noria.tracing import CallContext, current
from noria.types import Label, Usage

if TYPE_CHECKING:
    from noria.apps.declare.app import App
    from noria.retrieval import Document

__all__ = ["Outcome", "Work", "carry_out", "carry_out_stream", "load_here", "work_for"]


@dataclass(frozen=True, slots=True)
class Work:
    """A function by its name, and the run that it belongs to."""

    module: str
    name: str
    """Within the module, with dots."""
    bare: bool
    """The function as it was written, without the span that `@step` would add a second time."""
    app_file: str | None
    """The file of the application that the module belongs to, from `folder`; it is loaded first."""
    folder: str | None
    """What stands on the path of modules; None for a module that is installed."""
    ticket: ContextToken | None

    @property
    def title(self) -> str:
        """What errors call it."""
        return f"{self.module}.{self.name}"

    @property
    def home(self) -> str | None:
        """The state folder of its run: a worker opens one, and works for no other."""
        return str(self.ticket.config.home) if self.ticket is not None else None


@dataclass(slots=True)
class Outcome:
    """What came of a piece of work."""

    value: Any = None
    failure: BaseException | None = None
    raised_at: str = ""
    """The user's own lines of the traceback."""
    mark: Label = Label.PUBLIC
    usage: Usage = field(default_factory=Usage)
    results: dict[str, list[Any]] = field(default_factory=dict)
    notes: list[Document] = field(default_factory=list)

    def settle(self, context: CallContext | None, run: RunState | None) -> Any:
        """Take over what it means for the run that handed it in, and give its value.

        Raises:
            Exception: whatever the work has raised.
        """
        if context is not None:
            context.trace.mark = max(context.trace.mark, self.mark)
            context.trace.usage.input_tokens += self.usage.input_tokens
            context.trace.usage.output_tokens += self.usage.output_tokens
        if run is not None:
            for name, values in self.results.items():
                for value in values:
                    run.stepped(name, value)
            if self.notes:
                run.searched(self.notes)
        if self.failure is not None:
            if self.raised_at:
                self.failure.__cause__ = RemoteLines(self.raised_at)
            raise self.failure
        return self.value


class RemoteLines(Exception):
    """Where in another process an exception was raised."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


# Where it is handed in


def work_for(function: Callable[..., Any]) -> Work:
    """A function as it travels, with the present run.

    Raises:
        NoriaError: it cannot be found by its name elsewhere, as a lambda or a function inside of
            another one.
    """
    module, name = function.__module__, getattr(function, "__qualname__", repr(function))
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None or function not in (found, inspect.unwrap(found)):
        raise NoriaError(
            f"{module}.{name} cannot be found by its name in another process.",
            "Write it at the top level of a file, not inside of another function.",
        )
    context, run = current.get(), running.get()
    app_file, folder = _home_of(module, run)
    if module == "__main__" and folder is not None:
        module = Path(sys.modules[module].__file__ or "").stem
    token = ticket(context, run) if context is not None else None
    return Work(module, name, function is not found, app_file, folder, token)


def _home_of(module: str, run: RunState | None) -> tuple[str | None, str | None]:
    """The application's file that a module belongs to, and the folder that it is found in."""
    from noria.apps.host.loader import loaded_files

    source = getattr(sys.modules[module], "__file__", None)
    files = loaded_files()
    # Its own file: a version that was loaded later may have the name now.
    file = Path(source) if source is not None and module in files else None
    if file is None and run is not None and source is not None:
        near = run.app.file
        if near in files.values() and Path(source).is_relative_to(near.parent):
            file = near
    if file is not None:
        return file.name, str(file.parent)
    if source is None or "site-packages" in Path(source).parts:
        return None, None
    depth = 0 if module == "__main__" else module.count(".")
    place = Path(source).absolute()
    if place.name == "__init__.py":
        place = place.parent
    return None, str(place.parents[depth])


# Where it is done

_loaded: set[str] = set()


def carry_out(
    work: Work, args: tuple[Any, ...], kwargs: Mapping[str, Any], folder: str | None
) -> Outcome:
    """Do it in this process; whatever happens becomes an outcome.

    Args:
        work: what to do.
        args: its arguments by place.
        kwargs: its arguments by name.
        folder: where the application's folder lies here; None where it lies as it did there.
    """
    outcome = Outcome()
    try:
        function = _find(work, folder)
        with _place(work, outcome):
            value = function(*args, **kwargs)
            if inspect.isawaitable(value):
                value = asyncio.run(_awaited(value))
        _must_be_sent(work, value)
        outcome.value = value
    except Exception as failure:  # noqa: BLE001 - it is raised where the work was handed in
        _fail(work, outcome, failure, folder)
    return outcome


def carry_out_stream(
    work: Work, args: tuple[Any, ...], kwargs: Mapping[str, Any], folder: str | None
) -> Iterator[Any]:
    """The same for a generator: each piece as it comes, the outcome last."""
    outcome = Outcome()
    try:
        function = _find(work, folder)
        with _place(work, outcome):
            source = function(*args, **kwargs)
            if hasattr(source, "__aiter__"):
                from noria.apps.run.sync import iterate

                generator = source
                source = iterate(lambda: generator)
            for piece in source:
                _must_be_sent(work, piece)
                yield piece
    except Exception as failure:  # noqa: BLE001 - as above
        _fail(work, outcome, failure, folder)
    yield outcome


def load_here(file: str, name: str) -> App:
    """An application of the bundle that this worker was started in."""
    from noria.apps.declare.app import declared

    os.environ["NORIA_APP"] = name
    _load_once(Path.cwd() / file)
    return next(app for app in declared if app.name == name)


def _load_once(file: Path) -> None:
    if str(file) not in _loaded:
        from noria.apps.host.loader import load_app

        load_app(file)
        _loaded.add(str(file))


async def _awaited(value: Any) -> Any:
    return await value


def _find(work: Work, folder: str | None) -> Callable[..., Any]:
    """The function, its application loaded; from then on nothing can be asked here outside of a
    run, so that no work does in the name of the home's owner what its caller may not."""
    os.environ["NORIA_APP"] = work.title
    here = folder or work.folder
    if here is not None and here not in sys.path:
        sys.path.insert(0, here)
    if here is not None and work.app_file is not None:
        _load_once(Path(here) / work.app_file)
    try:
        found: Any = importlib.import_module(work.module)
    except ModuleNotFoundError as missing:
        raise NoriaError(
            f"The worker has no package {missing.name}, which {work.title} needs.",
            "Install it there, or pin it in the requirements.txt beside the application and set "
            "install = true for the cluster.",
        ) from None
    for part in work.name.split("."):
        found = getattr(found, part)
    return inspect.unwrap(found) if work.bare else found  # type: ignore[no-any-return]


@contextmanager
def _place(work: Work, outcome: Outcome) -> Iterator[None]:
    """Be inside of the run that handed the work in."""
    if work.ticket is None:
        yield
        return
    context, run = work.ticket.redeem()
    was_here, was_running = current.set(context), running.set(run)
    try:
        yield
    finally:
        running.reset(was_running)
        current.reset(was_here)
        outcome.mark = context.trace.mark
        outcome.usage = context.trace.usage
        if run is not None:
            outcome.results, outcome.notes = run.results, run.notes


def _must_be_sent(work: Work, value: Any) -> None:
    """Refuse what cannot be sent back, before whoever sends it fails in words of its own."""
    if value is None or isinstance(value, str | bytes | int | float):
        return
    try:
        pickle.dumps(value, 5, buffer_callback=lambda _: None)
    except Exception:  # noqa: BLE001 - a value's own code may fail in any way
        raise explain_result(work.title, value) from None


def _fail(work: Work, outcome: Outcome, failure: Exception, folder: str | None) -> None:
    outcome.raised_at = _own_lines(failure, folder or work.folder)
    failure.__traceback__ = failure.__cause__ = failure.__context__ = None
    try:
        pickle.loads(pickle.dumps(failure))  # noqa: S301 - what this process has written itself
        outcome.failure = failure
    except Exception:  # noqa: BLE001 - as above
        outcome.failure = RemoteFailure(f"{work.title}: {type(failure).__name__}: {failure}")
    outcome.results, outcome.notes = {}, []


def _own_lines(failure: BaseException, folder: str | None) -> str:
    """The frames of the user's code, by paths within the application's folder."""
    lines = []
    for frame in traceback.extract_tb(failure.__traceback__):
        path = Path(frame.filename)
        if folder is None or not path.is_relative_to(folder):
            continue
        place = path.relative_to(folder)
        if "site-packages" not in place.parts:
            lines.append(f'  File "{place}", line {frame.lineno}, in {frame.name}')
            if frame.line:
                lines.append(f"    {frame.line}")
    return "\n".join([*lines, f"{type(failure).__name__}: {failure}"]) if lines else ""
