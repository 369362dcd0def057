"""`@step(on=...)`: the run goes on elsewhere, with its caller, its place and its mark."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest

from noria import Label
from noria.apps import close
from noria.apps.run import standalone as plain
from noria.errors import ApiError, NoriaError
from noria.infra import targets
from noria.store import mark_of
from noria.types import SpanKind
from tests.infra.conftest import begun
from tests.support.door import wait_until
from tests.support.plain import Home


@pytest.fixture(autouse=True)
def _cluster(home: Home, target: str, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if target == "ray":
        head = request.getfixturevalue("ray_head")
        with (tmp_path / "noria.toml").open("a") as file:
            file.write(
                f'\n[clusters.cluster]\naddress = "{head.address}"\n'
                f'token_env = "{head.cluster.token_env}"\n'
            )
    close()
    yield
    targets.close_all()


@pytest.mark.parametrize("name", ["answer", "answer_async"])
def test_a_model_is_asked_there_in_the_run_of_the_caller(home: Home, work: Any, name: str) -> None:
    called = getattr(work, name)("Hi")
    assert "Hello" in (asyncio.run(called) if asyncio.iscoroutine(called) else called)
    home.ended()
    step, chat = home.one(SpanKind.STEP), home.one(SpanKind.CHAT)
    assert chat.parent_id == step.id
    assert step.parent_id == home.one(SpanKind.APP).id
    assert len({one.trace_id for one in home.spans()}) == 1
    assert len({one.key_id for one in home.spans()}) == 1


def test_the_mark_comes_back_before_the_next_call(home: Home, work: Any) -> None:
    with pytest.raises(ApiError, match="confidential"):
        asyncio.run(work.read_then_ask("plover"))
    trace = home.spans()[0].trace_id
    assert mark_of(plain.open_plainly().db, trace) is Label.CONFIDENTIAL


def test_a_cancelled_caller_frees_the_work(home: Home, work: Any, tmp_path: Path) -> None:
    async def leave() -> int:
        task = asyncio.create_task(work.stays(str(tmp_path)))
        await asyncio.to_thread(wait_until, lambda: begun(tmp_path) > 0, 40)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return begun(tmp_path)

    pid = asyncio.run(leave())
    wait_until(lambda: not psutil.pid_exists(pid), 20)


def test_a_gpu_that_nobody_has(home: Home, work: Any) -> None:
    with pytest.raises(NoriaError, match="3 gpus"):
        work.wants_gpus()


def test_nothing_is_asked_there_but_for_the_caller(home: Home, work: Any) -> None:
    told = work.sneaks()
    assert "outside of any run" in told
    assert not home.spans(SpanKind.CHAT)
