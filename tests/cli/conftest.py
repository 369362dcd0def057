from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from noria.cli.app import app
from noria.errors import NoriaError
from noria.testing.plugin import fake_provider

__all__ = ["fake_provider"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home of its own; the working folder is beside it."""
    for name in ("NORIA_KEY", "NORIA_CONFIG", "NORIA_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NORIA_HOME", str(tmp_path / ".noria"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".noria"


@pytest.fixture
def run(home):
    """Runs a verb in this process. Expected failures are raised, as `main` would catch them."""

    def call(*arguments: str, **options):
        done = CliRunner().invoke(app, list(arguments), **options)
        if isinstance(done.exception, NoriaError):
            raise done.exception
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return call


@pytest.fixture
def run_json(run):
    """Runs a verb with --json and reads what it prints."""

    def call(*arguments: str):
        done = run(*arguments, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return call
