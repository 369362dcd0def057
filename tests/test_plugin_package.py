"""A package of somebody else's, installed as an installer leaves it, adds a provider, a vector
store and a check; all three are used through noria's own doors."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from noria.config import Config
from noria.plugins import GROUP, registry
from noria.store import Database, open_database
from noria.testing import FakeProvider, Reply
from noria.types import SpanKind, Subject, Usage
from tests.retrieval.stores import test_stores as suite
from tests.support.door import Door, chat

PACKAGE = Path(__file__).parent / "plugin_package"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package in a folder that Python looks in, with the record that its entry point needs.

    A build would need the index of packages; what it writes is made here from the same file.
    """
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    folder = tmp_path_factory.mktemp("site")
    (folder / "acme_noria").symlink_to(PACKAGE / "src" / "acme_noria")
    record = folder / f"acme_noria-{project['version']}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = "".join(
        f"{name} = {value}\n" for name, value in project["entry-points"][GROUP].items()
    )
    (record / "entry_points.txt").write_text(f"[{GROUP}]\n{points}")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder))  # for the processes that are started
        registry.cache_clear()
        yield folder
    registry.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_noria"]:
        del sys.modules[name]


def test_it_is_loaded_with_everything_it_adds(installed: Path) -> None:
    found = registry()
    assert not found.broken
    assert "acme" in found.providers
    assert "acme" in found.vector_stores
    assert "polite" in found.checks
    assert "exact" in found.vector_stores  # noria's own are there as well


# The vector store: the whole suite of retrieval runs on it


@pytest.fixture
def opened(installed: Path, tmp_path: Path) -> Iterator[tuple[Database, str]]:
    db = open_database(Config(home=tmp_path / "home"))
    with db.write() as connection:
        for number in (1, 2):
            connection.execute(
                text(
                    "INSERT INTO indexes (serial, name, source, model, store, settings, version)"
                    f" VALUES ({number}, 'index{number}', '', '', '', '', 0)"
                )
            )
    yield db, "acme"
    db.close()


store = suite.store
for _name in [name for name in vars(suite) if name.startswith("test_")]:
    globals()[_name] = getattr(suite, _name)


# The provider

DESK = """
from noria import App, check
from noria.plugins import registry

app = App("desk", model="acme:big")
docs = app.index("notes", source="notes/*.md", embed="acme:embed", store="acme")


@app.task
async def answer(question: str) -> str:
    notes = await docs.search(question, k=1)
    return await app.model.ask("Answer.", notes=notes, question=question)


check(answer, severity="block")(registry().checks.find("polite"))
"""


@pytest.fixture(scope="module")
def acme_door(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("acme")
    (folder / "notes").mkdir()
    (folder / "notes" / "wheel.md").write_text("# Wheels\n\nA noria lifts water.\n")
    provider = FakeProvider(Reply("Hello.", usage=Usage(10, 5)), api_key="acme-secret")
    with provider, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACME_URL", provider.url)
        patch.setenv("ACME_API_KEY", "acme-secret")
        provider.by_model["big"] = lambda received: Reply(
            "That is stupid." if "rude" in str(received.body) else "Hello.", usage=Usage(10, 5)
        )
        door = Door(folder, provider, "", apps={"desk.py": DESK}).start()
        yield door
        door.stop()


def test_its_models_are_called_priced_and_budgeted(acme_door: Door) -> None:
    with acme_door.client(acme_door.key(budget="1 USD")) as client:
        answer = client.post("/v1/chat/completions", json=chat(model="acme:big", max_tokens=20))
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-noria-model"] == "acme:big"
        free = client.post("/v1/chat/completions", json=chat(model="acme:unpriced"))
        assert (free.status_code, free.json()["error"]["code"]) == (403, "price_unknown")
    (span,) = acme_door.spans(status="ok", model="acme:big")
    assert span.cost_nano == 10 * 1_000_000 + 5 * 2_000_000
    assert acme_door.budget(Subject.KEY).spent_nano == span.cost_nano


def test_a_provider_that_nobody_knows_is_still_named(acme_door: Door) -> None:
    with acme_door.client(acme_door.key()) as client:
        answer = client.post("/v1/chat/completions", json=chat(model="acmee:big"))
    assert answer.status_code == 404
    assert "Did you mean acme" in answer.json()["error"]["message"]


# All three in an application


def test_an_application_uses_the_provider_the_store_and_the_check(acme_door: Door) -> None:
    with acme_door.client(acme_door.key()) as client:
        answer = client.post("/apps/desk/answer", json={"question": "What lifts water?"})
        assert (answer.status_code, answer.json()) == (200, "Hello."), answer.text
        rude = client.post("/apps/desk/answer", json={"question": "be rude"})
        assert "stupid" not in rude.text
        assert "polite" in rude.text
    run = {
        one.kind: one
        for one in acme_door.spans()
        if one.trace_id == answer.headers["x-noria-trace"]
    }
    assert run[SpanKind.CHAT].target == "acme:big"
    (used,) = run[SpanKind.SEARCH].attributes["documents"]
    assert used["index"] == "notes"
    assert run[SpanKind.CHECK].attributes["outcome"] == "pass"
    assert list((acme_door.home / "acme").glob("*.db"))  # the plugin's own file
