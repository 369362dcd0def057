"""The pages of applications: what they show, to whom, and that what is copied works."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from html import unescape

import httpx2
import orjson
import pytest

from noria.apps.serve.manifest import Manifest, forget_app, write_app
from noria.store import create_key
from noria.web.doors import doors_of, parameters_of
from tests.support.seed_apps import furnish, run
from tests.web.conftest import Site
from tests.web.test_pages import Attributes

CANARY = '<img src=x onerror="window.pwned=1">\'"&{{7*7}}'


@pytest.fixture(scope="module", autouse=True)
def _furnished(site: Site) -> Iterator[None]:
    furnish(site.seeded)
    for age, outcome in enumerate(("pass", "pass", "fail", "skip")):
        run(site.seeded, time.time_ns() - age * 3_600_000_000_000, outcome=outcome)
    yield
    for name in ("support", "broken", "hostile"):
        forget_app(site.seeded.config.home, name)


def test_apps_are_listed_with_where_they_stand(admin: httpx2.Client) -> None:
    page = admin.get("/apps").text
    assert 'href="/apps/support">Support desk</a>' in page
    assert "answer, digest" in page
    assert re.search(r'state failed">failed', page)
    assert re.search(r'state ready">ready', page)


def test_an_app_shows_its_doors_checks_runs_and_schedules(admin: httpx2.Client) -> None:
    page = unescape(admin.get("/apps/support").text)
    assert "/apps/support/answer" in page
    assert '"model":"support"' in page
    assert "/mcp" in page
    assert "noria run desk/app.py answer --in in.jsonl --out out.jsonl" in page
    assert re.search(r'class="below">\d\d %', page)  # grounded is under its 90 %
    assert "82 of 100 passed" in page
    assert "the webhook answered 500" in page
    assert "no server was there to run it" in page
    assert "RuntimeError: the mail server is away" in page
    assert page.count('<a href="/traces/') >= 4
    assert "$0.00012" in page
    other = unescape(admin.get("/apps/support?function=digest").text)
    assert "/apps/support/digest" in other
    assert "list of text" in other
    assert "openai client" not in other


def test_a_broken_app_says_file_and_line(admin: httpx2.Client) -> None:
    page = unescape(admin.get("/apps/broken").text)
    assert "desk/broken.py, line 7: SyntaxError: '(' was never closed." in page
    assert "Open the chat" not in page


def test_without_apps_the_page_says_how_to_make_one(
    admin: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("noria.web.pages.apps.read_apps", lambda home: {})
    page = admin.get("/apps").text
    assert "noria init" in page
    assert admin.get("/apps/support").status_code == 404


def test_a_key_sees_the_apps_it_may_call_and_its_own_runs(site: Site) -> None:
    own = run(site.seeded, time.time_ns(), owner="batch")
    foreign = run(site.seeded, time.time_ns(), owner="ana")
    with site.sign_in("batch") as client:
        page = client.get("/apps/support").text
        assert own in page
        assert foreign not in page
        assert "Pass rate" not in page
        assert "82 of 100" not in page
        assert "noria run app.py answer" in page
        assert "desk/app.py" not in page
        assert "never closed" not in client.get("/apps/broken").text
    _, site.seeded.secrets["narrow"] = create_key(site.seeded.db, models=["local:smollm2"])
    with site.sign_in("narrow") as client:
        assert "Support desk" not in client.get("/apps").text
        for path in ("/apps/support", "/apps/support/chat"):
            assert client.get(path).status_code == 404


def test_what_an_app_says_of_itself_is_text(site: Site, admin: httpx2.Client) -> None:
    write_app(site.seeded.config.home, Manifest(
        "hostile", CANARY, "failed", error=CANARY, title=CANARY, description=CANARY, model=CANARY,
        functions=[{"name": CANARY, "kind": "chat", "doc": CANARY, "streams": False,
                    "schedule": CANARY, "returns": {}, "parameters": {
                        "properties": {CANARY: {"description": CANARY, "default": CANARY,
                                                "enum": [CANARY]}}}}],
        checks=[{"name": CANARY, "target": CANARY, "sample": 1, "at_least": 0.5,
                 "severity": CANARY}],
        indexes=[{"name": CANARY, "state": CANARY, "error": CANARY, "refresh": CANARY}],
        variants={CANARY: {"model": CANARY}},
    ))  # fmt: skip
    for path in ("/apps", "/apps/hostile", "/apps/hostile/chat"):
        page = admin.get(path).text
        assert "<img" not in page
        assert "onerror" in page


@pytest.mark.parametrize("path", ["/apps", "/apps/support", "/apps/broken", "/apps/support/chat"])
def test_pages_are_whole_light_and_within_the_policy(admin: httpx2.Client, path: str) -> None:
    answer = admin.get(path)
    assert len(answer.content) < 100_000
    assert answer.text.rstrip().endswith("</html>")
    seen = Attributes()
    seen.feed(answer.text)
    assert not {name for name in seen.names if name == "style" or name.startswith("on")}
    assert not seen.inline


def test_calls_are_made_from_any_signature() -> None:
    app = Manifest("my-app", "a folder/it's.py", "ready")
    function = {
        "name": "sort",
        "kind": "task",
        "parameters": {
            "required": ["items", "when", "order"],
            "properties": {
                "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
                "when": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "order": {"enum": ["up", "down"], "type": "string"},
                "loop": {"$ref": "#/$defs/Loop", "default": None},
            },
            "$defs": {
                "Item": {"type": "object", "title": "Item", "properties": {
                    "n": {"type": "integer"}, "ok": {"type": "boolean"}}},
                "Loop": {"type": "array", "items": {"$ref": "#/$defs/Loop"}},
            },
        },
    }  # fmt: skip
    assert [(one.name, one.type, one.default) for one in parameters_of(function)] == [
        ("items", "list of Item", None),
        ("when", "text or nothing", None),
        ("order", "one of up, down", None),
        ("loop", "list of list of list of list of list of …", "null"),
    ]
    doors = {door.name: door.text for door in doors_of(app, function, "http://h:1/")}
    assert list(doors) == ["rest", "mcp", "batch"]
    words = shlex.split(doors["rest"].replace("\\\n", ""))
    assert words[1] == "http://h:1/apps/my-app/sort"
    assert orjson.loads(words[-1]) == {"items": [{"n": 1, "ok": True}], "when": "text",
                                       "order": "up"}  # fmt: skip
    assert shlex.split(doors["batch"].splitlines()[1])[2] == "a folder/it's.py"
    assert orjson.loads(doors["mcp"])["mcpServers"]["noria"]["url"] == "http://h:1/mcp"
    chat = Manifest("desk", "a.py", functions=[{"name": "answer", "kind": "chat"}])
    found = {door.name: door.text for door in doors_of(chat, chat.functions[0], "http://h:1/")}
    compile(found["openai"], "copied", "exec")
    assert orjson.loads(shlex.split(found["chat"].replace("\\\n", ""))[-1])["model"] == "desk"
