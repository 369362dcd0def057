"""noria's finished spans, sent to an OTLP collector.

A thread of the intake process empties the store's queue, so that no request waits for a collector.
A collector that is away is tried again, ever less often; meanwhile the queue grows to a bound, past
which the oldest spans are dropped and counted.
"""

from __future__ import annotations

import gzip
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from noria.errors import ConfigError, StoreUnavailable
from noria.telemetry import names
from noria.telemetry.otlp import JSON, PROTOBUF
from noria.telemetry.outgoing import as_json, export_request
from noria.types import Label

if TYPE_CHECKING:
    import httpx2

    from noria.config import Config
    from noria.store import Database, Recorded

__all__ = ["Destination", "Exporter", "destination", "prepare_export", "run_export"]

log = logging.getLogger("noria.telemetry")

BATCH = 512
MOST_WAITING = 100_000
"""Spans in the queue, past which the oldest are dropped."""
_CLAIM_SECONDS = 120.0
_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 0.5
_BACKOFF_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
_MOST_PAUSE_SECONDS = 300.0
_TRY_AGAIN = (429, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where spans go, as OpenTelemetry's variables say."""

    url: str
    headers: Mapping[str, str]
    resource: Mapping[str, str]
    json: bool = False
    gzip: bool = False


def destination(environ: Mapping[str, str] = os.environ) -> Destination | None:
    """Read OpenTelemetry's variables; None where no endpoint is set.

    Raises:
        ConfigError: one of them cannot be used.
    """

    def setting(name: str) -> str | None:
        for variable in (f"OTEL_EXPORTER_OTLP_TRACES_{name}", f"OTEL_EXPORTER_OTLP_{name}"):
            if value := environ.get(variable, "").strip():
                return value
        return None

    base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    url = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    if not url and base:
        url = f"{base.rstrip('/')}/v1/traces"
    if not url or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT: {url!r} is not an address such as http://127.0.0.1:4318."
        )
    protocol = setting("PROTOCOL") or "http/protobuf"
    if protocol not in ("http/protobuf", "http/json"):
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL: {protocol!r} is not spoken here.",
            "Use http/protobuf or http/json; collectors take both at port 4318.",
        )
    _forbid_real(address.hostname, environ)
    resource = _pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    resource[names.SERVICE_NAME] = (
        environ.get("OTEL_SERVICE_NAME") or resource.get(names.SERVICE_NAME) or "noria"
    )
    return Destination(
        url,
        _pairs(setting("HEADERS") or ""),
        resource,
        json=protocol == "http/json",
        gzip=setting("COMPRESSION") == "gzip",
    )


class Exporter:
    """Sends the spans of the store's queue.

    Args:
        db: whose queue it is.
        to: where they go.
        client: how; by default a client of its own.
        content: the highest label of a trace whose messages go along; None sends no messages.
        most_waiting: how long the queue may grow.
    """

    def __init__(
        self,
        db: Database,
        to: Destination,
        *,
        client: httpx2.Client | None = None,
        content: Label | None = None,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        import httpx2

        self._db = db
        self._to = to
        self._client = client or httpx2.Client(timeout=_TIMEOUT_SECONDS)
        self._content = content
        self._most_waiting = most_waiting
        self._failures = 0

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set, then once more."""
        while not stop.is_set():
            stop.wait(self._turn())
        self._turn()
        self._client.close()

    def _turn(self) -> float:
        """Send one batch; returns for how many seconds to pause."""
        try:
            return self.send()
        except StoreUnavailable:
            return _BACKOFF_SECONDS[-1]
        except Exception:
            log.exception("Spans could not be exported; it is tried again.")
            return _BACKOFF_SECONDS[-1]

    def send(self) -> float:
        """Send one batch, if any waits; returns for how many seconds to pause before the next.

        Raises:
            StoreUnavailable: the queue cannot be reached.
        """
        from noria.store.traces.exports import (
            claim_exports,
            finish_exports,
            release_exports,
            trim_exports,
        )

        batch = claim_exports(self._db, BATCH, _CLAIM_SECONDS)
        if not batch:
            return _POLL_SECONDS
        instants = [one.span.started_ns for one in batch]
        outcome = self._post(batch)
        if outcome.again is None:
            self._failures = 0
            finish_exports(self._db, instants, refused=min(outcome.refused, len(instants)))
            return 0.0
        release_exports(self._db, instants)
        if self._failures == 0:
            log.warning("%s does not take spans now (%s); they wait.", self._to.url, outcome.why)
        pause = max(outcome.again, _BACKOFF_SECONDS[min(self._failures, 4)])
        self._failures += 1
        if dropped := trim_exports(self._db, self._most_waiting):
            log.warning("%d spans were dropped: too many wait for %s.", dropped, self._to.url)
        return pause

    def _post(self, batch: list[Recorded]) -> _Outcome:
        import httpx2

        to = self._to
        request = export_request(batch, to.resource, readable=self._readable(batch))
        body = as_json(request) if to.json else request.SerializeToString()
        headers = {**to.headers, "content-type": JSON if to.json else PROTOBUF}
        if to.gzip:
            body = gzip.compress(body, 5)
            headers["content-encoding"] = "gzip"
        try:
            answer = self._client.post(to.url, content=body, headers=headers)
        except httpx2.HTTPError as failed:
            return _Outcome(again=0.0, why=str(failed) or type(failed).__name__)
        if answer.status_code in _TRY_AGAIN:
            after = answer.headers.get("retry-after", "")
            seconds = float(after) if after.isascii() and after.isdigit() else 0.0
            why = f"HTTP {answer.status_code}"
            return _Outcome(again=min(seconds, _MOST_PAUSE_SECONDS), why=why)
        if answer.status_code >= 300:
            log.error(
                "%s refused %d spans: HTTP %d %s",
                to.url, len(batch), answer.status_code, answer.text[:300],
            )  # fmt: skip
            return _Outcome(refused=len(batch))
        refused = _refused(answer.content, to.json)
        if refused:
            log.error("%s left out %d of %d spans.", to.url, refused, len(batch))
        return _Outcome(refused=refused)

    def _readable(self, batch: list[Recorded]) -> set[str]:
        """The traces of a batch whose messages may be seen where they go.

        A text is never handed out before its trace has its label as a mark, so the mark of now
        covers what has ended.
        """
        from noria.store import marks_of

        if self._content is None:
            return set()
        traces = {one.span.trace_id for one in batch}
        marks = marks_of(self._db, traces)
        return {trace for trace in traces if marks.get(trace, Label.PUBLIC) <= self._content}


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of one batch."""

    refused: int = 0
    again: float | None = None
    """After how many seconds it may be tried again; None when it is done with."""
    why: str = ""


def prepare_export(config: Config, db: Database) -> None:
    """Queue finished spans from now on, if an endpoint is set; else no longer.

    Raises:
        ConfigError: one of OpenTelemetry's variables cannot be used.
        StoreUnavailable: the database cannot be reached.
    """
    from noria.store.traces.exports import Exporting, set_exporting

    which = Exporting.EVERYTHING if config.telemetry.forward else Exporting.OWN
    set_exporting(db, Exporting.NOTHING if destination() is None else which)


def run_export(config: Config, db: Database, stop: threading.Event) -> None:
    """Export this home's spans until `stop` is set, if an endpoint is set. Blocks.

    Raises:
        ConfigError: one of OpenTelemetry's variables cannot be used.
    """
    to = destination()
    if to is not None:
        telemetry = config.telemetry
        Exporter(db, to, content=telemetry.clearance if telemetry.content else None).run(stop)


def _refused(body: bytes, is_json: bool) -> int:
    """How many spans a collector says it has left out; 0 where its answer cannot be read."""
    from google.protobuf.json_format import Parse, ParseError
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

    answer = service.ExportTraceServiceResponse()
    try:
        if is_json:
            Parse(body or b"{}", answer, ignore_unknown_fields=True)
        else:
            answer.ParseFromString(body)
    except (ParseError, DecodeError):
        return 0
    return max(0, int(answer.partial_success.rejected_spans))


def _pairs(text: str) -> dict[str, str]:
    """`a=1,b=2` with percent-encoding, as OpenTelemetry writes headers and attributes."""
    pairs = {}
    for pair in text.split(","):
        name, equals, value = pair.partition("=")
        if equals and name.strip():
            pairs[unquote(name.strip())] = unquote(value.strip())
    return pairs


def _forbid_real(host: str, environ: Mapping[str, str]) -> None:
    """With NORIA_FORBID_REAL_REQUESTS set, spans go to no other machine either."""
    if not environ.get("NORIA_FORBID_REAL_REQUESTS") or host == "localhost":
        return
    try:
        here = ip_address(host).is_loopback
    except ValueError:
        here = False
    if not here:
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT: {host} is not on this machine.",
            "Unset it, or unset NORIA_FORBID_REAL_REQUESTS.",
        )
