"""Applications that are called by plain Python: a home of their own, before a fake provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from noria.apps import App
from noria.apps.declare.app import declared
from noria.apps.declare.step import known_steps
from noria.apps.run import standalone as plain
from noria.models import assemble
from noria.store import create_key, find_trace, take_in
from noria.store.traces.spans import find_spans
from noria.testing import FORBID_REAL_REQUESTS, FakeProvider
from noria.types import Span, SpanKind

MODEL = "fake:small"


class Home:
    """The home that plain calls use, in the working folder."""

    def __init__(self, folder: Path, fake: FakeProvider) -> None:
        self.folder = folder
        self.fake = fake

    def app(self, name: str = "support", **keywords: Any) -> App:
        """An application whose model is the fake one."""
        return App(name, **{"model": MODEL, **keywords})

    def key(self, **fields: Any) -> str:
        """Make a key and give its secret."""
        return create_key(plain.open_plainly().db, **fields)[1]

    def spans(self, kind: SpanKind | None = None) -> list[Span]:
        """Every span, in the order in which they began."""
        db = plain.open_plainly().db
        take_in(db, assemble)
        found = sorted(find_spans(db, limit=500).rows, key=lambda span: span.started_ns)
        return [span for span in found if kind in (None, span.kind)]

    def one(self, kind: SpanKind) -> Span:
        """The only span of a kind."""
        (span,) = self.spans(kind)
        return span

    def content(self, span: Span) -> tuple[Any, Any]:
        """What went in and came out of a span, from JSON."""
        db = plain.open_plainly().db
        recorded = next(one for one in find_trace(db, span.trace_id) if one.span.id == span.id)
        return tuple(
            orjson.loads(body) if body else None for body in (recorded.request, recorded.response)
        )  # type: ignore[return-value]

    def ended(self) -> None:
        """Wait for the checks that come after an answer."""
        plain.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: FakeProvider) -> Iterator[Home]:
    """A home in an empty working folder."""
    for name in ("NORIA_KEY", "NORIA_APP", "NORIA_CONFIG", "NORIA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(FORBID_REAL_REQUESTS, "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noria.toml").write_text(
        f'[providers.fake]\nbase_url = "{fake.url}"\n'
        '[prices."fake:small"]\ninput = 1.0\noutput = 1.0\n[routing]\nretries = 0\n'
    )
    apps, steps = list(declared), dict(known_steps)
    yield Home(tmp_path, fake)
    plain.close()
    declared[:] = apps
    known_steps.clear()
    known_steps.update(steps)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file below the test's folder."""

    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return written
