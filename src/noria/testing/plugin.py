"""pytest fixtures: write `pytest_plugins = ["noria.testing.plugin"]` in the top `conftest.py`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from noria.testing.evaluation import (
    app,
    pytest_addoption,
    pytest_configure,
    pytest_pyfunc_call,
)
from noria.testing.fake import FakeProvider
from noria.testing.forbid import forbid_real_requests

__all__ = [
    "app",
    "fake_provider",
    "no_real_requests",
    "pytest_addoption",
    "pytest_configure",
    "pytest_pyfunc_call",
]


@pytest.fixture
def fake_provider() -> Iterator[FakeProvider]:
    """A fake provider on a free port, gone after the test."""
    with FakeProvider() as provider:
        yield provider


@pytest.fixture
def no_real_requests() -> Iterator[None]:
    """No real provider can be reached during the test. For all tests at once:
    `pytestmark = pytest.mark.usefixtures("no_real_requests")`."""
    with forbid_real_requests():
        yield
