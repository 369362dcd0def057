"""What is told of an application outside of its process."""

from __future__ import annotations

from typing import Any

from noria.apps.declare.app import App
from noria.apps.serve.manifest import Manifest
from noria.apps.serve.schedules import read_cron
from noria.errors import AppError

__all__ = ["describe"]


def describe(app: App) -> Manifest:
    """An application as its manifest.

    Raises:
        AppError: a schedule is no cron line.
    """
    return Manifest(
        name=app.name,
        file=str(app.file),
        line=app.line,
        title=app.title,
        description=app.description,
        model=app.model_name(),
        budget=str(app.budget) if app.budget else None,
        record_content=app.record_content,
        functions=[
            {
                "name": function.name,
                "kind": function.kind,
                "doc": function.doc,
                "parameters": function.argument_schema(),
                "returns": function.return_schema(),
                "streams": function.streams,
                "schedule": _cron(function.schedule, function.where),
            }
            for function in app.functions.values()
        ],
        checks=[
            {
                "name": check.name,
                "target": check.function.name,
                "sample": check.sample,
                "at_least": check.at_least,
                "severity": check.severity,
            }
            for check in app.checks
        ],
        indexes=[
            {
                "name": index.name,
                "state": "building",
                "error": None,
                "refresh": _cron(index.refresh, f"{app.where}: index {index.name}"),
            }
            for index in app.indexes.values()
        ],
        variants={name: _variant(app, name) for name in app.variants},
    )


def _variant(app: App, name: str) -> dict[str, Any]:
    settings = {key: str(value) for key, value in app.variants[name].settings.items()}
    return {"model": app.model_name(name), "settings": settings}


def _cron(line: str | None, where: str) -> str | None:
    if line is not None:
        try:
            read_cron(line)
        except ValueError as unusable:
            raise AppError(f"{where}: {unusable}") from None
    return line
