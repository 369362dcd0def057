"""The fake provider as a process, for tests in other processes and other languages.

    python -m noria.testing.provider --port 9000 --text "Hello"

prints its address and runs until it is interrupted. Its script and its memory have a door of their
own beside `/v1`: `PUT /fake/replies` with a JSON list of replies (fields as in `Reply`) queues
them, `PUT /fake/reply` sets the standing one, `GET /fake/requests` and `GET /fake/owed` tell what
came and what is owed, `DELETE /fake` forgets all of that.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence

import orjson
from pydantic import TypeAdapter, ValidationError

from noria.testing.answers import error_body
from noria.testing.fake import FakeProvider
from noria.testing.http import Connection, Request
from noria.testing.replies import Reply

__all__ = ["main"]


class _RemoteProvider(FakeProvider):
    """A fake provider that can be scripted over HTTP."""

    async def _answer(self, request: Request, connection: Connection) -> None:
        if not request.path.startswith("/fake"):
            return await super()._answer(request, connection)
        try:
            status, body = self._control(request)
        except ValidationError as wrong:
            status, body = 400, orjson.dumps(error_body(400, str(wrong)))
        connection.start(status, {"content-type": "application/json"}, len(body))
        connection.write(body)
        return None

    def _control(self, request: Request) -> tuple[int, bytes]:
        match request.method, request.path:
            case "PUT", "/fake/replies":
                self.queue(*TypeAdapter(list[Reply]).validate_json(request.body))
            case "PUT", "/fake/reply":
                self._reply = TypeAdapter(Reply).validate_json(request.body)
            case "DELETE", "/fake":
                self.forget()
            case "GET", "/fake/owed":
                return 200, orjson.dumps(self.owed)
            case "GET", "/fake/requests":
                fields = ("method", "path", "headers", "body", "hung_up")
                seen = [{name: getattr(each, name) for name in fields} for each in self.requests]
                return 200, orjson.dumps(seen)
            case _:
                return 404, orjson.dumps(error_body(404, f"There is no {request.path}."))
        return 200, b"{}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m noria.testing.provider",
        description="A provider without a model that speaks OpenAI's wire.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--text", help="what is answered")
    parser.add_argument("--chunks", type=int, help="into how many pieces a stream is cut")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds between pieces")
    parser.add_argument("--first-delay", type=float, default=0.0, help="seconds before the answer")
    parser.add_argument("--api-key", help="refuse requests with another key")
    options = parser.parse_args(arguments)
    reply = Reply(
        text=options.text,
        chunks=options.chunks,
        delay=options.delay,
        first_delay=options.first_delay,
    )
    stops = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    with _RemoteProvider(
        reply, host=options.host, port=options.port, api_key=options.api_key
    ) as provider:
        print(provider.url, flush=True)  # noqa: T201
        signal.sigwait(stops)


if __name__ == "__main__":
    main()
