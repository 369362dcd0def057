"""Every example in README and docs runs: against a real noria with the real small model."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from noria.config import load
from noria.testing import FakeProvider
from tests.support.door import PRICES, Door, chat

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        *(ROOT / "docs").rglob("*.md"),
    ]
)
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+?) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
RUN = {"bash", "python", "toml"}
SHOWN = {"text", "json"}
TOOLS = ("jq", "sqlite3")


@dataclass(frozen=True)
class Example:
    """A fenced block of a page."""

    page: Path
    line: int
    kind: str
    text: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def examples() -> list[Example]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start("kind")) + 1
            found.append(Example(page, line, match["kind"], match["text"], match["reason"]))
    return found


EXAMPLES = examples()


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    """A running noria that has answered a first call."""
    with FakeProvider() as fake:
        shop = next(
            one for one in EXAMPLES if one.page.name == "serving-apps.md" and "App(" in one.text
        )
        apps = {"shop.py": shop.text}
        door = Door(tmp_path_factory.mktemp("docs"), fake, PRICES, apps=apps).start()
        try:
            with door.client(door.key(team="search")) as client:
                first = chat("hello", "local:smollm2", max_tokens=4)
                client.post("/v1/chat/completions", json=first, timeout=180).raise_for_status()
            yield door
        finally:
            door.stop()


@pytest.fixture(scope="module")
def secret(door):
    return door.key(team="docs")


def test_every_example_is_of_a_known_kind():
    unknown = [str(one) for one in EXAMPLES if one.kind not in RUN | SHOWN]
    assert not unknown


def test_most_examples_run():
    assert sum(one.reason is None and one.kind in RUN for one in EXAMPLES) > 30


@pytest.mark.engine
@pytest.mark.parametrize(
    "example",
    [one for one in EXAMPLES if one.kind in ("bash", "python") and one.reason is None],
    ids=str,
)
def test_example_runs(example, door, secret):
    for tool in TOOLS:
        if re.search(rf"\b{tool}\b", example.text) and shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    text = example.text.replace("http://127.0.0.1:8600", door.url)
    environ = {name: value for name, value in os.environ.items() if name[:6] != "NORIA_"}
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    environ["NORIA_KEY"] = secret
    command = ["bash", "-euo", "pipefail", "-c", text]
    if example.kind == "python":
        command = [sys.executable, "-c", text]
    done = subprocess.run(
        command, cwd=door.folder, env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"error":' not in done.stdout, done.stdout


@pytest.mark.parametrize(
    "example",
    [one for one in EXAMPLES if one.kind == "toml" and one.reason is None],
    ids=str,
)
def test_settings_are_understood(example, tmp_path):
    (tmp_path / "noria.toml").write_text(example.text)
    from noria.models import Catalogue

    Catalogue(load(tmp_path / "noria.toml", environ={}), environ={})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith(("http:", "https:", "mailto:")) and "images/" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
