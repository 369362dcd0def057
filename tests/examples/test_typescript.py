"""examples/typescript: OpenAI's client for TypeScript, type-checked and run, against a model and
against an application."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from noria.testing import Reply
from tests.examples.conftest import EXAMPLES

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="node is not installed"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its packages."""
    folder = tmp_path_factory.mktemp("typescript") / "example"
    ignored = shutil.ignore_patterns("node_modules", "build", "package-lock.json")
    shutil.copytree(EXAMPLES / "typescript", folder, ignore=ignored)
    quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--prefer-offline"]
    done = subprocess.run(
        ["npm", "install", *quiet], cwd=folder, capture_output=True, text=True, timeout=150
    )
    if done.returncode:
        pytest.skip(f"the packages of the example cannot be had: {done.stderr[-200:]}")
    return folder


@pytest.mark.parametrize("model", ["fake:small", "chain"])
def test_the_unchanged_client(example, fake, folder, model):
    fake.by_model["small"] = Reply("It lifts water.")
    door = example("langchain_step", model="writer")
    environ = {
        **os.environ, "NORIA_URL": door.url, "NORIA_KEY": door.key(), "NORIA_MODEL": model,
    }  # fmt: skip
    done = subprocess.run(
        ["npm", "run", "--silent", "ask", "--", "What does it do?"],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("It lifts water.") == (2 if model == "fake:small" else 4)
    assert "tokens)" in done.stdout
    trace = done.stdout.partition("noria trace show ")[2].split()[0]
    assert trace in {one.trace_id for one in door.spans()}
    assert done.stdout.rstrip().endswith("404 model_not_found")
