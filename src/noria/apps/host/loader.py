"""Loading the file that an application is written in."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from noria.apps.declare.app import App, declared
from noria.errors import AppError, NoriaError

__all__ = ["load_app", "loaded_files"]

_loaded: dict[str, Path] = {}
"""The modules that are files of applications, by name."""


def loaded_files() -> Mapping[str, Path]:
    """The files of applications that this process has loaded, by the names of their modules."""
    return _loaded


def load_app(path: str | Path) -> list[App]:
    """Import a file under its own module name, with its folder on the path, and verify what it
    declares.

    Returns: its applications, at least one.

    Raises:
        AppError: the file cannot be read, is not valid Python, raises while it is imported, or
            declares what cannot work; the message names file and line.
    """
    file = Path(path).absolute()
    name = file.stem
    _check_name(file, name)
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _loaded[name] = file
    before = len(declared)
    try:
        spec.loader.exec_module(module)
        made = declared[before:]
        _check_names(made)
        apps = [app for app in made if app.file == file]
        if not apps:
            raise AppError(
                f"{file} declares no application.", 'Write: app = App("name"), with noria.App'
            )
        for app in apps:
            verify(app)
    except BaseException as failure:
        del declared[before:]
        sys.modules.pop(name, None)
        if not isinstance(failure, Exception) or isinstance(failure, AppError):
            raise
        raise _explained(failure, file) from None
    return apps


def verify(app: App) -> None:
    """Make sure that an application's signatures and checks can work.

    Raises:
        AppError: they cannot; the message names file and line.
    """
    for function in app.functions.values():
        function.argument_schema()
        function.return_schema()
    for check in app.checks:
        check.verify()


def _check_name(file: Path, name: str) -> None:
    if not file.is_file():
        raise AppError(f"There is no file {file}.", "Make an application with: noria init")
    if file.suffix != ".py" or not name.isidentifier():
        raise AppError(f"{file} cannot be imported: its name must be that of a Python module.")
    if name in sys.modules and name not in _loaded:
        raise AppError(
            f"{file} has the name of the module {name}, which is in use.", "Give it another name."
        )


def _check_names(made: list[App]) -> None:
    """Two applications of one name would be one at every door."""
    seen: dict[str, App] = {}
    for app in made:
        other = seen.setdefault(app.name, app)
        if other is not app:
            raise AppError(
                f"{app.where}: there are two applications named {app.name}; the other one stands "
                f"in {other.where}."
            )


def _explained(failure: Exception, file: Path) -> AppError:
    """What went wrong while the file was imported, at the innermost of its own lines."""
    if isinstance(failure, SyntaxError):
        where = f"{failure.filename or file}, line {failure.lineno}"
        return AppError(f"{where}: {failure.msg}: {(failure.text or '').strip()}")
    frames = traceback.extract_tb(failure.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(file.parent)]
    mine = [frame for frame in own if "site-packages" not in frame.filename]
    where = f"{mine[-1].filename}, line {mine[-1].lineno}" if mine else str(file)
    if isinstance(failure, NoriaError):
        return AppError(f"{where}: {failure.message}", failure.remedy)
    return AppError(f"{where}: {type(failure).__name__}: {failure}")
