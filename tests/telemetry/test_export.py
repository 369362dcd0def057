"""Finished spans reach a collector: once, off the request's path, and counted when they cannot."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from noria.config import Config
from noria.errors import ConfigError
from noria.ids import new_span_id, new_trace_id
from noria.store import Database, Intake, Journal, export_counts, open_database
from noria.store.traces.exports import Exporting, set_exporting
from noria.telemetry import Destination, Exporter, destination
from noria.types import Label
from tests.support.collector import Collector, Say, attributes
from tests.support.door import PRICES, chat
from tests.telemetry.support import PROTOBUF, request, span


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


# Through a running noria


@pytest.fixture
def exporting(collector, new_door, monkeypatch):
    """Starts a door whose spans go to the collector."""

    def start(settings: str = PRICES, **variables: str):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return new_door(settings)

    return start


def test_a_call_arrives_by_the_names_of_the_conventions(exporting, collector):
    door = exporting(
        OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20abc,x-team=search",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        OTEL_SERVICE_NAME="front door",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
    )
    with door.client(door.key(team="search", user="ada")) as client:
        answer = client.post("/v1/chat/completions", json=chat("a secret question"))
        refused = client.post("/v1/chat/completions", json=chat(model="no:such"))
    good, bad = sorted(collector.wait_for_spans(2), key=lambda one: one.start_time_unix_nano)
    (delivery, *_) = collector.deliveries
    assert delivery.headers["authorization"] == "Bearer abc"
    assert delivery.headers["x-team"] == "search"
    assert delivery.headers["content-encoding"] == "gzip"
    (group,) = delivery.request.resource_spans
    assert {one.key: one.value.string_value for one in group.resource.attributes} == {
        "service.name": "front door",
        "deployment.environment.name": "test",
    }
    assert good.trace_id.hex() == answer.headers["x-noria-trace"]
    assert (good.name, good.kind) == ("chat fake:small", 3)
    assert good.end_time_unix_nano > good.start_time_unix_nano
    usage = answer.json()["usage"]
    found = attributes(good)
    assert found["gen_ai.operation.name"] == "chat"
    assert found["gen_ai.provider.name"] == "fake"
    assert found["gen_ai.request.model"] == "fake:small"
    assert found["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert found["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    assert found["noria.cost.usd"] == pytest.approx(usage["total_tokens"] / 1000)
    assert (found["noria.team"], found["noria.user"]) == ("search", "ada")
    assert bad.trace_id.hex() == refused.headers["x-noria-trace"]
    assert bad.status.code == 2
    assert attributes(bad)["error.type"] == "model_not_found"
    assert bad.status.message == "refused", "the words of an error are content"
    assert not any("a secret question" in str(one) for one in collector.spans())


def test_messages_go_along_and_foreign_spans_too_when_asked(exporting, collector):
    door = exporting(f"{PRICES}[telemetry]\ncontent = true\nforward = true\n")
    foreign = span("from elsewhere")
    with door.client(door.key()) as client:
        client.post("/v1/chat/completions", json=chat("What is a noria?", max_tokens=3))
        client.post("/v1/traces", content=request(foreign).SerializeToString(), headers=PROTOBUF)
    sent = {one.span_id: one for one in collector.wait_for_spans(2)}
    assert sent.pop(foreign.span_id).name == "invoke_workflow from elsewhere"
    (call,) = sent.values()
    found = attributes(call)
    assert json.loads(found["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "What is a noria?"}]}
    ]
    (reply,) = json.loads(found["gen_ai.output.messages"])
    assert reply["parts"] == [{"type": "text", "content": "Hello from the"}]
    assert reply["finish_reason"] == "length"


def test_foreign_spans_do_not_go_in_circles(exporting, collector):
    door = exporting()
    with door.client(door.key()) as client:
        told = request(span("from elsewhere")).SerializeToString()
        assert client.post("/v1/traces", content=told, headers=PROTOBUF).status_code == 200
        assert client.post("/v1/chat/completions", json=chat()).status_code == 200
    (only,) = collector.wait_for_spans(1)
    assert only.name == "chat fake:small"
    assert b'outcome="dropped"} 0.0' in httpx2.get(f"{door.url}/metrics").content


# The exporter by itself


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = open_database(Config(home=tmp_path / "home"))
    set_exporting(database, Exporting.OWN)
    yield database
    database.close()


def finish(db: Database, count: int) -> list[str]:
    """Record some finished spans; returns their ids."""
    journal = Journal(db.home, new_span_id())
    made = [new_span_id() for _ in range(count)]
    for number, identity in enumerate(made):
        journal.append(
            {
                "t": "span", "id": identity, "trace": new_trace_id(), "kind": "step",
                "name": f"step {number}", "at": time.time_ns(), "ms": 1.0, "status": "ok",
                "cost": 0, "parent": "not an id of OpenTelemetry", "key": "key_1",
            },
            b'{"in": 1}',
            b'{"out": 1}',
        )  # fmt: skip
    journal.close()
    Intake(db, assemble=bytes).take_in()
    return made


def test_what_a_collector_cannot_take_now_is_sent_again(db, collector):
    made = finish(db, 3)
    exporter = Exporter(db, Destination(f"{collector.url}/v1/traces", {}, {}))
    collector.answer_next(Say(503), Say(429, (("retry-after", "7"),)))
    assert exporter.send() == 1.0
    assert exporter.send() == 7.0
    assert exporter.send() == 0.0
    assert [one.span_id.hex() for one in collector.spans()] == made
    assert export_counts(db) == (3, 0)


def test_a_collector_that_is_not_there_is_waited_for(db, collector):
    made = finish(db, 2)
    nowhere = Exporter(db, Destination("http://127.0.0.1:9/v1/traces", {}, {}), most_waiting=1)
    assert [nowhere.send() for _ in range(6)] == [1.0, 2.0, 5.0, 10.0, 30.0, 30.0]
    assert export_counts(db) == (0, 1)  # the queue is bounded: the older one is gone
    Exporter(db, Destination(collector.url, {}, {})).send()
    assert [one.span_id.hex() for one in collector.spans()] == made[1:]


def test_what_a_collector_refuses_is_counted_and_not_sent_again(db, collector):
    exporter = Exporter(db, Destination(collector.url, {}, {}))
    finish(db, 2)
    collector.answer_next(Say(400))
    assert exporter.send() == 0.0
    assert export_counts(db) == (0, 2)
    finish(db, 3)
    collector.answer_next(Say(rejected=1))
    exporter.send()
    assert export_counts(db) == (2, 3)
    assert exporter.send() > 0  # nothing is left
    assert len(collector.deliveries) == 1


def test_many_spans_go_in_batches(db, collector):
    made = finish(db, 1_100)
    exporter = Exporter(db, Destination(collector.url, {}, {}))
    stop = threading.Event()
    running = threading.Thread(target=exporter.run, args=(stop,))
    running.start()
    try:
        spans = collector.wait_for_spans(len(made))
    finally:
        stop.set()
        running.join(10)
    assert [one.span_id.hex() for one in spans] == made
    assert [len(one.request.resource_spans[0].scope_spans[0].spans) for one in collector.deliveries]
    assert len(collector.deliveries) == 3
    assert all(not one.parent_span_id for one in spans)


def test_json_is_spoken_as_noria_understands_it(db, collector):
    from noria.telemetry.otlp import JSON, read

    (made,) = finish(db, 1)
    Exporter(db, Destination(collector.url, {}, {"service.name": "n"}, json=True)).send()
    (delivery,) = collector.deliveries
    assert delivery.headers["content-type"] == JSON
    (told,) = read(JSON, None, delivery.body, 10_000).spans
    assert (told.id, told.name, told.resource) == (made, "step 0", {"service.name": "n"})


def test_messages_above_the_clearance_of_a_collector_stay_here(db, collector):
    from noria.store import find_spans, raise_mark

    public, internal, secret = finish(db, 3)
    traces = {one.id: one.trace_id for one in find_spans(db).rows}
    raise_mark(db, traces[internal], Label.INTERNAL)
    raise_mark(db, traces[secret], Label.CONFIDENTIAL)
    Exporter(db, Destination(collector.url, {}, {}), content=Label.INTERNAL).send()
    told = {one.span_id.hex(): attributes(one) for one in collector.spans()}
    assert told[public]["input.value"] == told[internal]["input.value"] == '{"in": 1}'
    assert "input.value" not in told[secret]
    assert told[secret]["noria.span.kind"] == "step"


# What is set


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/base"}, "http://c:4318/base/v1/traces"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://d/otlp",
            },
            "https://d/otlp",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, None),
    ],
)
def test_where_spans_go(environ, url):
    found = destination(environ)
    assert (found and found.url) == url


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4318"}, "is not an address"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            },
            "'grpc' is not spoken here",
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example:4318",
                "NORIA_FORBID_REAL_REQUESTS": "1",
            },
            "not on this machine",
        ),
    ],
)
def test_what_cannot_be_used_is_said_at_the_start(environ, why):
    with pytest.raises(ConfigError, match=why):
        destination(environ)
