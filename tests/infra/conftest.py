"""The executors, and an application whose functions they run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from noria.apps import load_app
from noria.apps.declare.app import declared
from noria.infra import Executor, LocalExecutor

WORK = '''
import asyncio
import os
import threading
import time
from pathlib import Path

from noria import App, Label, step
from noria.tracing import current

app = App("work", model="fake:small")


class Odd(Exception):
    """An exception of the application."""

    def __init__(self, word, number):
        super().__init__(word)
        self.number = number


def add(a, b=1):
    return a + b


def double(number):
    return 2 * number


async def later(number):
    await asyncio.sleep(0)
    return number + 1


def pieces(count):
    for number in range(count):
        yield number


def pieces_without_end(folder):
    number = 0
    try:
        while True:
            Path(folder, f"piece-{number}").touch()
            yield number
            number += 1
            time.sleep(0.01)
    finally:
        Path(folder, "closed").touch()


def break_down(word):
    raise ValueError(f"cannot do {word}")


def break_oddly(word):
    raise Odd(word, 7)


def break_after(count):
    yield from range(count)
    raise ValueError("no more")


def give_lock():
    return {"rows": [1, threading.Lock()]}


def die_once(folder):
    mark = Path(folder, "died")
    if mark.exists():
        return "alive"
    mark.touch()
    os._exit(7)


def wait_for_ever(folder):
    Path(folder, f"begun-{os.getpid()}").write_text(str(os.getpid()))
    while True:
        time.sleep(0.05)


def length(data):
    return len(data)


def ones(count):
    return bytes(count)


def rank_of(rank, size, word):
    return f"{rank} of {size} {word}"


def needs_package():
    import package_that_nobody_has


def process():
    return os.getpid()


@step(on="TARGET")
def ask_there(question):
    return asyncio.run(app.model.ask(question))


@step(on="TARGET")
async def ask_there_async(question):
    return await app.model.ask(question)


@step(on="TARGET")
def read_secret(word):
    here = current.get()
    asyncio.run(here.runtime.labels.raise_to(here.trace, Label.CONFIDENTIAL))
    return word


@step(on="TARGET")
def stay(folder):
    wait_for_ever(folder)


@step(on="TARGET", gpu=3)
def on_three_gpus():
    return "never"


@step(on="TARGET")
def as_whoever():
    import threading
    found = []

    def ask():
        try:
            found.append(asyncio.run(app.model.ask("psst")))
        except BaseException as refusal:
            found.append(str(refusal))
    import contextvars
    contextvars.Context().run(ask)
    return found[0]


@app.task
def answer(question: str) -> str:
    return ask_there(question)


@app.task
async def answer_async(question: str) -> str:
    return await ask_there_async(question)


@app.task
async def read_then_ask(word: str) -> str:
    read_secret(word)
    return await app.model.ask(word)


@app.task
async def stays(folder: str) -> None:
    await asyncio.to_thread(stay, folder)


@app.task
def wants_gpus() -> str:
    return on_three_gpus()


@app.task
def sneaks() -> str:
    return as_whoever()
'''


@pytest.fixture(
    scope="module",
    params=["local", pytest.param("ray", marks=pytest.mark.ray)],
)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def executor(target: str, request: pytest.FixtureRequest) -> Iterator[Executor]:
    if target == "local":
        local = LocalExecutor({"cpus": 4, "gpus": 0, "memory": 1 << 30, "shelf": 2})
        yield local
        local.close()
        return
    from noria.infra import RayExecutor

    head = request.getfixturevalue("ray_head")
    cluster = RayExecutor(head.cluster)
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def load_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Loads the application, of which the module is given."""
    before = list(declared)

    def load(target: str, name: str = "work_app", **changed: str) -> ModuleType:
        folder = tmp_path_factory.mktemp("app")
        text = WORK.replace("TARGET", "local" if target == "local" else "cluster")
        for old, new in changed.items():
            text = text.replace(old, new)
        (folder / f"{name}.py").write_text(text)
        load_app(folder / f"{name}.py")
        return sys.modules[name]

    yield load
    declared[:] = before
    sys.modules.pop("work_app", None)


@pytest.fixture(scope="module")
def work(target: str, load_work: Callable[..., Any]) -> ModuleType:
    module: ModuleType = load_work(target)
    return module


def begun(folder: Path) -> int:
    """The process that has begun to wait; 0 before."""
    for path in folder.glob("begun-*"):
        return int(path.read_text() or 0)
    return 0
