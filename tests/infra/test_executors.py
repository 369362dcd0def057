"""What every executor promises: one suite, on processes of this machine and on a Ray cluster."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import psutil
import pytest

from noria.errors import NoriaError
from noria.infra import Executor, NotPlaceable, UnpicklableValue, WorkerDied
from tests.infra.conftest import begun
from tests.support.door import wait_until


def test_submit_in_another_process(executor: Executor, work: Any) -> None:
    assert executor.submit(work.add, 2, b=5).result() == 7
    assert executor.submit(work.later, 2).result() == 3
    assert executor.submit(work.process).result() != os.getpid()


def test_map_keeps_the_order(executor: Executor, work: Any) -> None:
    assert list(executor.map(work.double, range(25), concurrency=3)) == [*range(0, 50, 2)]


def test_stream_comes_piece_by_piece_and_leaving_ends_it(
    executor: Executor, work: Any, tmp_path: Path
) -> None:
    assert list(executor.stream(work.pieces, 5)) == [0, 1, 2, 3, 4]
    source = executor.stream(work.pieces_without_end, str(tmp_path))
    assert [next(source) for _ in range(3)] == [0, 1, 2]  # while the generator goes on
    source.close()  # type: ignore[attr-defined]

    def quiet() -> bool:
        before = len(list(tmp_path.iterdir()))
        threading.Event().wait(0.1)
        return len(list(tmp_path.iterdir())) == before

    wait_until(quiet, 20)


def test_gang_runs_together_or_not_at_all(executor: Executor, work: Any) -> None:
    members = executor.gang(work.rank_of, 3, "x")
    assert [one.result(60) for one in members] == ["0 of 3 x", "1 of 3 x", "2 of 3 x"]
    with pytest.raises(NoriaError, match="5"):
        executor.gang(work.rank_of, 5, "x")


def test_failure_comes_as_it_was_and_names_the_line(executor: Executor, work: Any) -> None:
    with pytest.raises(ValueError, match="cannot do that") as caught:
        executor.submit(work.break_down, "that").result()
    told = str(caught.value.__cause__)
    line = next(
        n for n, text in enumerate(Path(work.__file__).read_text().splitlines(), 1)
        if "cannot do {word}" in text
    )  # fmt: skip
    assert f'File "work_app.py", line {line}, in break_down' in told
    for noise in ("\x1b", "ray::", "pid=", "/tmp", "127.0.0.1", "noria/infra"):
        assert noise not in told + str(caught.value)


def test_failures_that_cannot_be_sent_and_of_streams(executor: Executor, work: Any) -> None:
    with pytest.raises(NoriaError, match="Odd: plum"):
        executor.submit(work.break_oddly, "plum").result()
    source = executor.stream(work.break_after, 2)
    assert [next(source), next(source)] == [0, 1]
    with pytest.raises(ValueError, match="no more"):
        next(source)


def test_what_cannot_be_pickled_is_named(executor: Executor, work: Any) -> None:
    with pytest.raises(UnpicklableValue, match=r"work_app\.add: b\['x'\]\[1\] .*lock"):
        executor.submit(work.add, 1, b={"x": [0, threading.Lock()]})
    with pytest.raises(UnpicklableValue, match=r"give_lock: result\['rows'\]\[1\]"):
        executor.submit(work.give_lock).result()
    with pytest.raises(NoriaError, match="top level of a file"):
        executor.submit(lambda: 1)


def test_a_dead_worker_is_retried_only_where_that_is_said(
    executor: Executor, work: Any, tmp_path: Path
) -> None:
    with pytest.raises(WorkerDied, match="die_once"):
        executor.submit(work.die_once, str(tmp_path)).result(60)
    (tmp_path / "died").unlink()
    again = executor.submit(work.die_once, str(tmp_path), idempotent=True)
    assert again.result(60) == "alive"


def test_cancel_frees_the_work(executor: Executor, work: Any, tmp_path: Path) -> None:
    future = executor.submit(work.wait_for_ever, str(tmp_path), custom={"shelf": 2})
    wait_until(lambda: begun(tmp_path) > 0, 30)
    pid = begun(tmp_path)
    executor.cancel(future)
    with pytest.raises(CancelledError):
        future.result(30)
    wait_until(lambda: not psutil.pid_exists(pid), 20)
    assert executor.submit(work.add, 1, custom={"shelf": 2}).result(60) == 2


def test_large_values(executor: Executor, work: Any) -> None:
    assert executor.submit(work.length, bytes(30_000_000)).result() == 30_000_000
    assert len(executor.submit(work.ones, 30_000_000).result()) == 30_000_000


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"gpus": 2}, "2 gpus"),
        ({"memory": "900TB"}, "memory"),
        ({"custom": {"quantum": 1}}, "1 quantum"),
        ({"cpus": 4096}, "4096 cpus"),
    ],
)
def test_what_no_machine_has_is_refused_at_once(
    executor: Executor, work: Any, asked: dict[str, Any], told: str
) -> None:
    with pytest.raises(NotPlaceable, match=told):
        executor.submit(work.add, 1, **asked)


@pytest.mark.parametrize("asked", [{"cpus": -1}, {"gpus": 1.5}, {"memory": "much"}])
def test_nonsense_is_refused_by_name(executor: Executor, work: Any, asked: dict[str, Any]) -> None:
    with pytest.raises(NoriaError, match=next(iter(asked))):
        executor.submit(work.add, 1, **asked)


def test_a_missing_package_is_named(executor: Executor, work: Any) -> None:
    with pytest.raises(ModuleNotFoundError, match="package_that_nobody_has"):
        executor.submit(work.needs_package).result()


def test_two_versions_at_once(executor: Executor, work: Any, load_work: Any, target: str) -> None:
    other = load_work(target, "work_app", **{"return 2 * number": "return 3 * number"})
    assert executor.submit(other.double, 5).result() == 15
    sys.modules["work_app"] = work  # the older one goes on to serve
    assert executor.submit(work.double, 5).result() == 10
    sys.modules["work_app"] = other
    assert executor.submit(other.double, 5).result() == 15
    sys.modules["work_app"] = work
