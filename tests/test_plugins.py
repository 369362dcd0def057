"""Plugins come in through entry points; a broken one is named and takes nothing else down."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from noria.errors import ConfigError, NotFound
from noria.plugins import GROUP, Registry, load_plugins, registry


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for module in [name for name in sys.modules if name.startswith("noria_test_plugin_")]:
        del sys.modules[module]


def install(folder: Path, name: str, code: str) -> EntryPoint:
    """A distribution with a plugin, as an installer leaves it."""
    module = f"noria_test_plugin_{name}"
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {module}\n")
    (point,) = entry_points(group=GROUP, name=name)
    return point


def test_a_plugin_puts_things_on_every_shelf(folder: Path) -> None:
    point = install(
        folder,
        "acme",
        "def register(registry):\n"
        "    registry.providers.add('acme', object())\n"
        "    registry.vector_stores.add('acme', dict)\n"
        "    registry.checks.add('polite', len)\n"
        "    registry.loaders.add('.acme', str)\n",
    )
    loaded = load_plugins([point])
    assert not loaded.broken
    assert loaded.vector_stores.find("acme") is dict
    assert loaded.checks.find("polite") is len
    assert loaded.loaders.find(".acme") is str
    assert list(loaded.providers) == ["acme"]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise RuntimeError('no licence')", "no licence"),
        ("import a_module_that_is_not_there", "a_module_that_is_not_there"),
        ("x = 1", "register"),
        ("def register(registry):\n    registry.checks.add('half', len)\n    1 / 0", "zero"),
        ("def register(registry):\n    registry.checks.add('', len)", "not empty"),
        ("def register(registry):\n    registry.checks.add('good', len)", "another plugin"),
    ],
)
def test_a_broken_plugin_is_named_and_the_others_work(folder: Path, code: str, why: str) -> None:
    points = [
        install(folder, "zbroken", code),
        install(folder, "good", "def register(r):\n    r.checks.add('good', max)\n"),
    ]
    loaded = load_plugins(points)
    assert loaded.checks.find("good") is max
    assert list(loaded.checks) == ["good"]
    assert list(loaded.broken) == ["zbroken"]
    with pytest.raises(NotFound) as missing:
        loaded.checks.find("half")
    assert "zbroken" in str(missing.value)
    assert why in str(missing.value)


def test_what_is_not_there_is_told_with_what_is() -> None:
    shelf = Registry().vector_stores
    shelf.add("one", dict)
    with pytest.raises(NotFound, match=r"no vector store 'two'[\s\S]*There is: one\."):
        shelf.find("two")
    with pytest.raises(ConfigError, match="'one'"):
        shelf.add("one", list)


def test_noria_registers_its_own_through_the_same_door() -> None:
    assert {"exact", "pgvector", "qdrant", "lancedb"} <= set(registry().vector_stores)
    assert {".md", ".txt", ".html", ".pdf", ".docx"} <= set(registry().loaders)
    assert "noria" not in registry().broken
