"""Examples run as a user runs them: their folders, copied, served by a real noria.

Their models are a fake provider's, so that what is answered is known; documents are embedded by the
real small model.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from noria.testing import FakeProvider
from tests.support.door import Door

PRICES = '[prices."fake:small"]\ninput = 1.0\n'
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeProvider]:
    with FakeProvider() as provider:
        yield provider


@pytest.fixture(scope="module")
def example(
    tmp_path_factory: pytest.TempPathFactory, fake: FakeProvider
) -> Iterator[Callable[..., Door]]:
    """Gives the folder of an example with a home in it; its model is the fake provider's."""
    doors: list[Door] = []

    def take(name: str, *, model: str, settings: str = "", serve: bool = True) -> Door:
        folder = tmp_path_factory.mktemp("examples") / name
        shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("node_modules"))
        route = f'[models.{model}]\ntargets = ["fake:small"]\n'
        source = {"app.py": (folder / "app.py").read_text()} if serve else {}
        door = Door(folder, fake, settings + PRICES + route, apps=source)
        doors.append(door)
        return door.start() if serve else door

    yield take
    for door in doors:
        door.stop()
