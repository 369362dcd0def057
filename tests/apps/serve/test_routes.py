"""The doors to an application: the chat door, REST, OpenAPI, feedback."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx2
import openai
import openapi_spec_validator
import pytest

from noria.errors import NotFound
from noria.models import assemble
from noria.store import evidence_of, find_trace, take_in
from noria.testing import FakeProvider, Reply
from noria.types import Label, Span, Status, Subject, Usage
from tests.apps.serving import MIRROR, OTHER, SUPPORT
from tests.support.door import PRICES, Door, bearer, chat, wait_until


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider(Reply(text="Certainly.", usage=Usage(5, 2))) as fake:
        fake.by_model["loud"] = Reply(text="CERTAINLY!", usage=Usage(7, 3))
        yield fake


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, provider: FakeProvider) -> Iterator[Door]:
    """Two workers before two applications."""
    settings = PRICES + '[prices."fake:loud"]\ninput = 1000.0\n'
    apps = {"support.py": SUPPORT, "other.py": OTHER, "mirror.py": MIRROR}
    door = Door(tmp_path_factory.mktemp("door"), provider, settings, workers=2, apps=apps)
    yield door.start()
    door.stop()


@pytest.fixture(scope="module")
def secret(door: Door) -> str:
    return door.key(user="ann")


@pytest.fixture(scope="module")
def client(door: Door, secret: str) -> Iterator[httpx2.Client]:
    with door.client(secret) as client:
        yield client


@pytest.fixture(scope="module")
def official(door: Door, secret: str) -> openai.OpenAI:
    """The official client, unchanged."""
    return openai.OpenAI(base_url=f"{door.url}/v1", api_key=secret, max_retries=0)


def spans_of(door: Door, trace: str) -> list[Span]:
    """The spans of a trace, in the order in which they began."""
    with door.database() as db:
        take_in(db, assemble)
        try:
            return [recorded.span for recorded in find_trace(db, trace)]
        except NotFound:
            return []


def error_of(answer: httpx2.Response) -> dict[str, str]:
    return dict(answer.json()["error"])


class TestChat:
    def test_an_application_answers_under_its_name(self, official: openai.OpenAI) -> None:
        answer = official.chat.completions.create(
            model="support", messages=[{"role": "user", "content": "How are you?"}]
        )
        choice = answer.choices[0]
        assert choice.message.content == "0 before; How are you?"
        assert choice.finish_reason == "stop"
        assert answer.model == "support"

    def test_its_pieces_come_as_chunks(self, official: openai.OpenAI) -> None:
        said = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": [{"type": "text", "text": "one two"}]},
        ]
        stream = official.chat.completions.create(
            model="support",
            messages=said,  # type: ignore[arg-type]
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
        assert pieces == ["3 before;", " one", " two", None]
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens == 0

    def test_a_variant_is_addressed_by_its_name(self, official: openai.OpenAI) -> None:
        answer = official.chat.completions.create(
            model="support@loud", messages=[{"role": "user", "content": "Hey you"}]
        )
        assert answer.choices[0].message.content == "0 before; Hey! you!"

    def test_an_unknown_variant_is_refused_with_the_known_ones(
        self, official: openai.OpenAI
    ) -> None:
        with pytest.raises(openai.NotFoundError, match="support@loud"):
            official.chat.completions.create(
                model="support@quiet", messages=[{"role": "user", "content": "Hi"}]
            )

    def test_it_is_listed_among_the_models(self, official: openai.OpenAI) -> None:
        names = [model.id for model in official.models.list()]
        assert {"support", "support@loud", "other"} <= set(names)
        assert official.models.retrieve("support@loud").id == "support@loud"

    def test_a_message_that_is_no_text_is_refused(self, client: httpx2.Client) -> None:
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}
        body = chat("", model="support") | {"messages": [{"role": "user", "content": [picture]}]}
        answer = client.post("/v1/chat/completions", json=body)
        assert (answer.status_code, error_of(answer)["param"]) == (400, "messages[0].content")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("tools", [{"type": "function", "function": {"name": "f"}}]),
            ("response_format", {"type": "json_object"}),
            ("n", 2),
        ],
    )
    def test_what_it_would_not_do_is_refused_by_name(
        self, client: httpx2.Client, field: str, value: object
    ) -> None:
        body = chat("Hi", model="support") | {field: value}
        answer = client.post("/v1/chat/completions", json=body)
        assert (answer.status_code, error_of(answer)["param"]) == (400, field)

    def test_a_chat_without_a_question_is_refused(self, client: httpx2.Client) -> None:
        body = {"model": "support", "messages": [{"role": "assistant", "content": "Hi"}]}
        answer = client.post("/v1/chat/completions", json=body)
        assert (answer.status_code, error_of(answer)["param"]) == (400, "messages")

    def test_one_application_asks_another_in_the_same_trace(
        self, door: Door, client: httpx2.Client
    ) -> None:
        answer = client.post("/v1/chat/completions", json=chat("Pass it on", model="other"))
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"] == "0 before; Pass it on"
        trace = answer.headers["x-noria-trace"]
        spans = {span.name: span for span in spans_of(door, trace)}
        assert set(spans) == {"other.relay", "support.answer"}
        assert spans["support.answer"].parent_id == spans["other.relay"].id

    def test_one_that_asks_itself_comes_to_an_end(self, client: httpx2.Client) -> None:
        refused = client.post("/v1/chat/completions", json=chat("Who?", model="mirror"))
        assert (refused.status_code, error_of(refused)["code"]) == (400, "apps_too_deep")


class TestRest:
    def test_a_function_takes_an_object_and_gives_its_result(self, client: httpx2.Client) -> None:
        ticket = {"title": "It burns", "urgency": 3}
        answer = client.post("/apps/support/triage", json={"ticket": ticket, "note": "!"})
        assert answer.json() == {"title": "It burns!", "urgency": 4}
        assert answer.headers["x-noria-trace"]

    def test_every_wrong_argument_is_named(self, client: httpx2.Client) -> None:
        answer = client.post("/apps/support/add", json={"a": "many", "c": 1})
        assert answer.status_code == 422
        message = error_of(answer)["message"]
        assert "a: " in message
        assert "c: " in message

    @pytest.mark.parametrize("body", ["[1]", "{", '"x"'])
    def test_what_is_no_object_is_refused(self, client: httpx2.Client, body: str) -> None:
        answer = client.post("/apps/support/add", content=body)
        assert (answer.status_code, error_of(answer)["code"]) == (400, "invalid_json")

    def test_near_names_are_offered(self, client: httpx2.Client) -> None:
        answer = client.post("/apps/support/trage", json={})
        assert (answer.status_code, error_of(answer)["code"]) == (404, "function_not_found")
        assert "triage" in error_of(answer)["message"]
        answer = client.post("/apps/suport/triage", json={})
        assert (answer.status_code, error_of(answer)["code"]) == (404, "app_not_found")
        assert "support" in error_of(answer)["message"]

    def test_a_variant_has_the_same_functions(self, client: httpx2.Client) -> None:
        answer = client.post("/apps/support@loud/answer", json={"question": "Hey"})
        assert answer.json() == "0 before; Hey!"

    def test_what_user_code_raises_is_left_to_the_trace(
        self, door: Door, client: httpx2.Client
    ) -> None:
        answer = client.post("/apps/support/fail", json={})
        assert (answer.status_code, error_of(answer)["code"]) == (500, "app_failed")
        assert "plover" not in answer.text
        (span,) = spans_of(door, answer.headers["x-noria-trace"])
        assert "plover" in (span.error or "")

    def test_a_stream_gives_pieces_and_the_result(self, client: httpx2.Client) -> None:
        answer = client.post(
            "/apps/support/answer",
            json={"question": "a b"},
            headers={"accept": "text/event-stream"},
        )
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [event.splitlines() for event in answer.text.strip().split("\n\n")]
        assert [event[0] for event in events] == ["event: delta"] * 3 + ["event: result"]
        assert events[-1][1] == 'data: "0 before; a b"'

    def test_a_caller_who_leaves_ends_the_run(self, door: Door, secret: str) -> None:
        folder = door.folder
        with (
            httpx2.Client(base_url=door.url, headers=bearer(secret)) as client,
            client.stream(
                "POST",
                "/apps/support/wait_for",
                json={"name": "left"},
                headers={"accept": "text/event-stream"},
            ) as answer,
        ):
            trace = answer.headers["x-noria-trace"]
            assert next(answer.iter_lines()) == "event: delta"
        wait_until((folder / "left.cancelled").exists, 10)
        wait_until(
            lambda: [span.status for span in spans_of(door, trace)] == [Status.CANCELLED], 10
        )

    def test_one_blocked_application_does_not_stop_another(self, door: Door, secret: str) -> None:
        with door.connect() as blocked, door.client(secret) as client:
            body = b'{"name": "gate"}'
            blocked.sendall(
                b"POST /apps/support/block HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (secret.encode(), len(body), body)
            )
            wait_until((door.folder / "gate.begun").exists, 10)
            assert client.post("/apps/other/echo", json={"text": "alive"}).json() == "alive"
            assert client.get("/v1/models").status_code == 200
            (door.folder / "gate").touch()
            blocked.settimeout(10)
            assert _body(blocked).endswith(b'"free"')


def _body(connection: socket.socket) -> bytes:
    came = b""
    while b"free" not in came:
        came += connection.recv(65536)
    return came


class TestKeys:
    def test_a_wrong_key_comes_nowhere(self, door: Door) -> None:
        with door.client("wrong") as client:
            for method, path in (
                ("POST", "/apps/support/add"),
                ("GET", "/apps/openapi.json"),
                ("POST", "/mcp"),
                ("POST", "/v1/feedback"),
                ("POST", "/v1/chat/completions"),
            ):
                answer = client.request(method, path, json=chat(model="support"))
                assert answer.status_code == 401, path
                assert answer.headers["www-authenticate"] == "Bearer"

    def test_a_key_may_be_for_one_application_alone(
        self, door: Door, provider: FakeProvider
    ) -> None:
        secret = door.key(models=["support"])
        with door.client(secret) as client:
            assert [one["id"] for one in client.get("/v1/models").json()["data"]] == ["support"]
            answer = client.post("/apps/support/ask", json={"question": "Can you?"})
            assert answer.json() == "Certainly."
            for refused in (
                client.post("/apps/other/echo", json={"text": "x"}),
                client.post("/v1/chat/completions", json=chat(model="other")),
                client.post("/v1/chat/completions", json=chat()),
            ):
                assert (refused.status_code, error_of(refused)["code"]) == (
                    403,
                    "model_not_allowed",
                )
        (span,) = [one for one in door.spans(status=Status.REFUSED) if one.app == "other"]
        assert span.error_code == "model_not_allowed"

    def test_a_run_is_counted_once_however_many_models_it_asks(self, door: Door) -> None:
        secret = door.key(rpm=2)
        with door.client(secret) as client:
            for _ in range(2):
                answer = client.post("/apps/support/ask", json={"question": "Hm?"})
                assert answer.status_code == 200
            refused = client.post("/apps/support/ask", json={"question": "Hm?"})
            assert error_of(refused)["code"] == "rate_limit_requests"
            refused = client.post("/v1/chat/completions", json=chat(model="support"))
            assert error_of(refused)["code"] == "rate_limit_requests"

    def test_the_applications_budget_stands(self, door: Door) -> None:
        status = door.budget(Subject.APP, "support")
        assert str(status.row.budget) == "1000 USD/day"
        assert status.spent_nano > 0

    def test_the_key_pays_and_the_tree_has_its_place(
        self, door: Door, client: httpx2.Client
    ) -> None:
        answer = client.post("/apps/support/ask", json={"question": "Well?"})
        run, call = spans_of(door, answer.headers["x-noria-trace"])
        assert (run.name, run.user, call.user) == ("support.ask", "ann", "ann")
        assert call.parent_id == run.id
        assert (call.input_tokens, call.output_tokens, call.app) == (5, 2, "support")

    def test_what_is_not_to_be_recorded_is_not_recorded_of_refusals_either(
        self, door: Door, client: httpx2.Client
    ) -> None:
        client.post("/apps/mirror/whisper", json={"text": "plover"})
        client.post("/apps/mirror/whisper", json={"txt": "plover"})
        with door.client(door.key(models=["other"])) as stranger:
            stranger.post("/apps/mirror/whisper", json={"text": "plover"})
        spans = [span for span in door.spans(app="mirror") if span.name == "mirror.whisper"]
        assert {str(span.status) for span in spans} == {"ok", "error", "refused"}
        with door.database() as db:
            kept = [one for span in spans for one in find_trace(db, span.trace_id)]
        assert all(not one.request and not one.response for one in kept)

    def test_forged_headers_say_nothing(self, door: Door, client: httpx2.Client) -> None:
        stranger = door.key(user="eve", clearance=Label.PUBLIC)
        theirs = client.post("/apps/support/add", json={"a": 1}).headers["x-noria-trace"]
        forged = {
            "x-noria-trace": theirs,
            "x-noria-parent": "0" * 16,
            "x-noria-user": "ann",
            "x-noria-conversation": "notes",
        }
        with door.client(stranger) as other:
            answer = other.post("/apps/support/add", json={"a": 1}, headers=forged)
        assert answer.headers["x-noria-trace"] != theirs
        (span,) = spans_of(door, answer.headers["x-noria-trace"])
        assert (span.user, span.parent_id) == ("eve", None)

    def test_the_own_trace_is_gone_on_with(self, door: Door, client: httpx2.Client) -> None:
        first = client.post("/apps/support/add", json={"a": 1}).headers["x-noria-trace"]
        again = client.post("/apps/support/add", json={"a": 2}, headers={"x-noria-trace": first})
        assert again.headers["x-noria-trace"] == first
        assert len(spans_of(door, first)) == 2


class TestOpenAPI:
    def test_the_document_describes_every_function(self, door: Door, client: httpx2.Client) -> None:
        document = client.get("/apps/openapi.json").json()
        assert document["openapi"] == "3.1.0"
        assert document["servers"] == [{"url": door.url}]
        operation = document["paths"]["/apps/support/triage"]["post"]
        assert operation["summary"] == "Makes a ticket more urgent."
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert schema["required"] == ["ticket"]
        reference = schema["properties"]["ticket"]["$ref"]
        *_, name = reference.split("/")
        assert document["components"]["schemas"][name]["required"] == ["title"]
        assert "/apps/other/echo" in document["paths"]

    def test_one_application_has_a_document_of_its_own(self, client: httpx2.Client) -> None:
        document = client.get("/apps/other/openapi.json").json()
        assert set(document["paths"]) == {"/apps/other/echo", "/apps/other/relay"}

    def test_it_is_valid(self, client: httpx2.Client) -> None:
        openapi_spec_validator.validate(client.get("/apps/openapi.json").json())


class TestFeedback:
    def test_it_joins_the_run(self, door: Door, client: httpx2.Client, secret: str) -> None:
        trace = client.post("/apps/support/add", json={"a": 1}).headers["x-noria-trace"]
        given = client.post(
            "/v1/feedback", json={"trace_id": trace, "score": "down", "comment": "It is 2."}
        )
        assert (given.status_code, given.json()["score"]) == (201, -1.0)
        with door.database() as db:
            (remark,) = evidence_of(db, trace).remarks
        assert (remark.score, remark.comment, remark.user) == (-1.0, "It is 2.", "ann")

    def test_the_trace_of_another_does_not_exist(self, door: Door, client: httpx2.Client) -> None:
        trace = client.post("/apps/support/add", json={"a": 1}).headers["x-noria-trace"]
        said = {"trace_id": trace, "score": 1}
        with door.client(door.key()) as stranger:
            refused = stranger.post("/v1/feedback", json=said)
            assert (refused.status_code, error_of(refused)["code"]) == (404, "trace_not_found")
        with door.client(door.key(admin=True)) as admin:
            assert admin.post("/v1/feedback", json=said).status_code == 201

    @pytest.mark.parametrize(
        ("said", "field"),
        [
            ({"score": 1}, "trace_id"),
            ({"trace_id": "a", "score": 2}, "score"),
            ({"trace_id": "a", "score": True}, "score"),
            ({"trace_id": "a", "score": "sideways"}, "score"),
            ({"trace_id": "a"}, "score"),
            ({"trace_id": "a", "score": 1, "comment": 5}, "comment"),
            ({"trace_id": "a", "score": 1, "rating": 5}, "rating"),
        ],
    )
    def test_what_cannot_be_used_is_named(
        self, client: httpx2.Client, said: dict[str, object], field: str
    ) -> None:
        refused = client.post("/v1/feedback", json=said)
        assert (refused.status_code, error_of(refused)["param"]) == (422, field)
