"""The page on governance, run from its first command to its last, with the real small model."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from noria.testing import FakeProvider, Reply
from tests.docs.test_examples import BLOCK, ROOT
from tests.support.door import PRICES, Door

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed"),
]

PAGE = (ROOT / "docs" / "governance.md").read_text()
BLOCKS = [match["text"] for match in BLOCK.finditer(PAGE) if match["kind"] == "bash"]
BONUS = "12 percent"
"""What stands in the confidential document alone."""


@pytest.fixture(scope="module")
def acme() -> Iterator[FakeProvider]:
    with FakeProvider(Reply(text="Half of it.")) as provider:
        yield provider


@pytest.fixture(scope="module")
def shell(
    tmp_path_factory: pytest.TempPathFactory, acme: FakeProvider
) -> Iterator[Callable[[str], str]]:
    """Runs the block with a text in it, beside the server that the page starts."""
    folder = tmp_path_factory.mktemp("governance")
    (settings,) = (match["text"] for match in BLOCK.finditer(PAGE) if match["kind"] == "toml")
    settings = re.sub(r'base_url = ".*"', f'base_url = "{acme.url}"', settings)
    environ = {name: value for name, value in os.environ.items() if name[:6] != "NORIA_"}
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    door: Door | None = None

    def run(part: str) -> str:
        (block,) = (text for text in BLOCKS if part in text)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.replace("http://127.0.0.1:8600", url())],
            cwd=folder, env=environ, capture_output=True, text=True, timeout=170,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def url() -> str:
        return door.url if door is not None else ""

    run("mkdir -p town/papers")
    (serving,) = (text.split() for text in BLOCKS if text.startswith("noria serve"))
    served = {serving[2]: (folder / serving[2]).read_text()}
    door = Door(folder, acme, PRICES + settings, apps=served).start()
    try:
        run("noria key create")
        yield run
    finally:
        door.stop()


def test_two_people_are_answered_from_different_documents(shell: Callable[[str], str]) -> None:
    said = shell("/apps/town/answer")
    shown = next(match["text"] for match in BLOCK.finditer(PAGE) if "ada (conf" in match["text"])
    for line in shown.splitlines():
        assert line in said


def test_what_is_confidential_reaches_no_model_that_is_not_cleared(
    shell: Callable[[str], str], acme: FakeProvider
) -> None:
    said = shell("/apps/town@hosted/answer")
    bob, ada = said.splitlines()
    assert "Half of it." in bob
    assert "label_exceeds_clearance" in ada
    told = "".join(str(one.body) for one in acme.requests)
    assert "half of the bonus" in told
    assert BONUS not in told
    assert BONUS not in ada


def test_a_run_is_run_again_and_a_document_redacted(
    shell: Callable[[str], str], acme: FakeProvider
) -> None:
    shell("/apps/town/answer")
    acme.forget()
    assert "Half of it." in shell("trace replay")
    told = "".join(str(one.body) for one in acme.requests)
    assert "half of the bonus" in told
    assert BONUS not in told
    shell("trace redact")
