"""One door for all tests of telemetry, and the real exporter that sends spans to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from noria.store import find_trace
from noria.testing import FakeProvider
from noria.types import Span
from tests.support.door import PRICES, Door


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeProvider]:
    with FakeProvider() as provider:
        yield provider


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, fake: FakeProvider) -> Iterator[Door]:
    door = Door(tmp_path_factory.mktemp("door"), fake, PRICES).start()
    yield door
    door.stop()


@pytest.fixture(scope="module")
def secret(door: Door) -> str:
    return door.key(team="search", user="ada")


@pytest.fixture
def tracer_provider(door: Door, secret: str) -> Iterator[TracerProvider]:
    """OpenTelemetry's SDK, sending to noria."""
    provider = TracerProvider()
    exporter = OTLPSpanExporter(
        endpoint=f"{door.url}/v1/traces", headers={"authorization": f"Bearer {secret}"}
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    yield provider
    provider.shutdown()


class Told:
    """A span as noria has it, with its parsed content."""

    def __init__(self, span: Span, request: bytes | None, response: bytes | None) -> None:
        self.span = span
        self.request = orjson.loads(request) if request else None
        self.response = orjson.loads(response) if response else None
        self.parent: Told | None = None
        self.run: list[Span] = []
        """All spans of its trace, in the order in which they began."""


@pytest.fixture
def told(door: Door, tracer_provider: TracerProvider) -> Callable[..., dict[str, Told]]:
    """Gives the spans that the exporter has sent under one trace, by their names."""

    def look(root: str) -> dict[str, Told]:
        assert tracer_provider.force_flush()
        (found,) = [span for span in door.spans() if span.name == root and not span.parent_id]
        with door.database() as db:
            recorded = find_trace(db, found.trace_id)
        by_id = {one.span.id: Told(one.span, one.request, one.response) for one in recorded}
        for one in by_id.values():
            one.parent = by_id.get(one.span.parent_id or "")
            one.run = [other.span for other in recorded]
        return {str(one.span.name): one for one in by_id.values()}

    return look
