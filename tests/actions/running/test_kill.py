"""A process that is killed at every step of a plan of five calls, and another that goes on."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from noria.action_settings import SimSettings
from noria.actions.plans.store import find_plan
from noria.actions.running import journal as journals
from noria.actions.running.runs import RunStatus
from noria.store import set_budget, spend
from noria.types import Budget, Subject
from tests.actions.running.world import SECOND, Clock, World, five_calls

START = 1_800_000_000 * SECOND
LATER = START + 3600 * SECOND
_fork = multiprocessing.get_context("fork")


def _world(folder: Path, now_ns: int) -> World:
    return World(
        folder,
        cloud=folder / "cloud.db",
        clock=Clock(now_ns),
        sim=SimSettings(consistency_seconds=5),
    )


def _dies_at(step: int, *, written: bool) -> None:
    """Have this process killed at the step-th entry of a journal, before or after it is written."""
    write, count = journals.RunJournal.write, 0

    def deadly(self: Any, *given: Any, **content: Any) -> int:
        nonlocal count
        count += 1
        mine = count  # calls that need no other are made by threads
        if mine == step and not written:
            os.kill(os.getpid(), signal.SIGKILL)
        at = write(self, *given, **content)
        if mine == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return at

    journals.RunJournal.write = deadly  # type: ignore[method-assign]


def _apply(folder: Path, plan_id: str, step: int, written: bool) -> None:
    world = _world(folder, START)
    _dies_at(step, written=written)
    stored = find_plan(world.db, plan_id)
    world.runner.apply(stored, stored.planner)


def _undo(folder: Path, plan_id: str, step: int, written: bool) -> None:
    world = _world(folder, LATER)
    _dies_at(step, written=written)
    world.runner.undo(plan_id)


def _planned(folder: Path) -> str:
    """A home with a plan, as every step begins with it."""
    world = _world(folder, START)
    set_budget(world.db, Subject.USER, "ann", Budget.parse("500 USD"))
    plan_id = world.plan(*five_calls(world)).plan.id
    world.close()
    return plan_id


def _run(target: Any, *given: Any) -> bool:
    """Whether it was killed; False if it came to its end."""
    child = _fork.Process(target=target, args=given)
    child.start()
    child.join(60)
    assert child.exitcode in (0, -signal.SIGKILL), child.exitcode
    return child.exitcode != 0


def _ends_well(folder: Path, plan_id: str, now_ns: int) -> None:
    """After an undo nothing runs, nothing was doubled on the way, and the ledger is right."""
    world = _world(folder, now_ns)
    run = world.runner.undo(plan_id)
    assert (run.status, world.living()) == (RunStatus.UNDONE, [])
    [row] = spend(world.db, "user")
    assert (row.spent_nano, row.held_nano) == (world.cloud.bill(), 0)
    assert run.cost_nano == world.cloud.bill()
    world.close()


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
def test_killed_while_it_is_applied(tmp_path: Path, written: bool) -> None:
    plan_id = _planned(tmp_path / "0")
    step = 0
    killed = True
    while killed:
        step += 1
        folder = shutil.copytree(tmp_path / "0", tmp_path / str(step))
        killed = _run(_apply, folder, plan_id, step, written)
        if step % 3:
            world = _world(folder, LATER - 1800 * SECOND)
            run = world.runner.resume(plan_id)
            assert run.status is RunStatus.RUNNING, (step, run)
            things = world.cloud.seen(everything=True)
            assert len(world.living()) == 5, step
            assert len(things) == 5, step  # nothing was made twice, not even for a moment
            assert sum(thing["label"] == "mine" for thing in things) == 1
            world.close()
        _ends_well(folder, plan_id, LATER)
    assert step > 10


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
def test_killed_while_it_is_undone(tmp_path: Path, written: bool) -> None:
    plan_id = _planned(tmp_path / "0")
    world = _world(tmp_path / "0", START)
    stored = find_plan(world.db, plan_id)
    world.runner.apply(stored, stored.planner)
    world.close()
    step = 0
    killed = True
    while killed:
        step += 1
        folder = shutil.copytree(tmp_path / "0", tmp_path / str(step))
        killed = _run(_undo, folder, plan_id, step, written)
        _ends_well(folder, plan_id, LATER + 60 * SECOND)
    assert step > 10
