"""Tasks and indexes that are due at certain times."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.apps.serve.manifest import Phase
from noria.apps.serve.schedules import read_cron
from noria.store.schedules import Firing, list_firings, plan_firing
from noria.testing import FakeProvider
from noria.types import Status
from tests.support.door import PRICES, Door, wait_until

EVERY_SECOND = "* * * * * *"
APP = f'''
from noria import App

app = App("clock", model="fake:small")


@app.task(schedule="{EVERY_SECOND}")
async def tick() -> str:
    return await app.model.ask("Tick.")


@app.task(schedule="{EVERY_SECOND}")
def stumble() -> None:
    raise ValueError("it fell")


@app.task(schedule="0 6 * * *")
def sweep() -> None:
    pass
'''


def firings(door: Door, task: str) -> list[Firing]:
    with door.database() as db:
        found = list_firings(db, "clock", limit=500)
    return [firing for firing in found if firing.task == task]


def ended(door: Door, task: str) -> list[Firing]:
    return [one for one in firings(door, task) if one.status in ("ok", "error")]


def test_a_task_runs_when_it_is_due_under_a_key_of_its_own(
    new_door: Callable[..., Door],
) -> None:
    door = new_door(apps={"app.py": APP})
    wait_until(lambda: len(ended(door, "tick")) >= 2 and bool(ended(door, "stumble")), 30)
    done = ended(door, "tick")
    assert {one.status for one in done} == {"ok"}
    assert len({one.due_ns for one in done}) == len(done)
    assert all(one.due_ns % 1_000_000_000 == 0 for one in done)
    assert all((one.started_ns or 0) >= one.due_ns for one in done)
    runs = [span for span in door.spans(app="clock") if span.trace_id == done[0].trace_id]
    assert {(span.name, span.key_id) for span in runs} == {
        ("clock.tick", "system:clock"),
        (None, "system:clock"),
    }
    assert {span.status for span in runs} == {Status.OK}
    failed = ended(door, "stumble")[0].error
    assert "clock.stumble failed with ValueError" in (failed or "")
    (waiting,) = firings(door, "sweep")
    assert waiting.status == "waiting"
    due = datetime.fromtimestamp(waiting.due_ns / 1e9, UTC)
    assert (due.hour, due.minute, due.second) == (6, 0, 0)


def test_two_servers_run_a_task_once(tmp_path: Path, fake: FakeProvider, postgres_url: str) -> None:
    doors = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        doors.append(Door(folder, fake, PRICES, store_url=postgres_url, apps={"app.py": APP}))
    try:
        for door in doors:
            door.start()
        wait_until(lambda: len({one.holder for one in ended(doors[0], "tick")}) == 2, 60)
    finally:
        for door in doors:
            door.stop()
    done = [one for one in firings(doors[0], "tick") if one.status != "waiting"]
    runs = [span for span in doors[0].spans(app="clock") if span.name == "clock.tick"]
    assert len({one.due_ns for one in done}) == len(done)
    assert sorted(one.trace_id or "" for one in done if one.trace_id) == sorted(
        span.trace_id for span in runs
    )


def test_what_was_missed_is_shown_and_not_made_up_for(new_door: Callable[..., Door]) -> None:
    text = APP.replace(EVERY_SECOND, "0 0 1 1 *").replace("0 6 * * *", "*/30 * * * *")
    door = new_door(apps={"app.py": text})
    door.stop()
    half_hour = 1800 * 1_000_000_000
    last = time.time_ns() // half_hour * half_hour
    with door.database() as db:
        plan_firing(db, "clock", "sweep", last - 3 * half_hour)
    door.start()

    def states() -> dict[int, str]:
        return {one.due_ns: one.status for one in firings(door, "sweep")}

    wait_until(lambda: last + half_hour in states(), 30)
    assert [states()[last - n * half_hour] for n in (3, 2, 1)] == ["missed"] * 3
    assert states()[last + half_hour] == "waiting"
    assert door.spans(app="clock") == []


def test_an_index_is_refreshed_when_it_is_due(new_door: Callable[..., Door]) -> None:
    text = f'''
from noria import App

app = App("clock", model="fake:small")
docs = app.index("rules", source="rules/*.md", embed="fake:embed", refresh="{EVERY_SECOND}")


@app.task
async def find(question: str) -> list[str]:
    return [one.text for one in await docs.search(question)]
'''
    door = new_door(apps={"app.py": text})
    folder = door.folder / "rules"
    folder.mkdir()
    (folder / "one.md").write_text("Refunds are paid within 14 days.")
    wait_until(lambda: door.app("clock").indexes[0]["state"] == "ready", 30)
    with door.client(door.key()) as client:

        def found() -> str:
            return client.post("/apps/clock/find", json={"question": "refunds"}).text

        wait_until(lambda: "14 days" in found(), 30)
        (folder / "one.md").write_text("Refunds are paid within 30 days.")
        wait_until(lambda: "30 days" in found(), 30)
    # The run that found the change ends a moment after its passages can be found.
    wait_until(lambda: bool(ended(door, "index:rules")), 30)
    assert {one.status for one in ended(door, "index:rules")} == {"ok"}


def test_what_is_no_cron_line_is_refused_with_its_place(new_door: Callable[..., Door]) -> None:
    door = new_door(apps={"app.py": APP.replace("0 6 * * *", "at six")})
    assert door.app("clock").state == Phase.FAILED
    line = APP[: APP.index('@app.task(schedule="0 6')].count("\n") + 1
    assert f"app.py, line {line}: 'at six' is no cron line" in (door.app("clock").error or "")


@pytest.mark.parametrize("line", ["", "* * * *", "61 * * * *", "a b c d e", "* * 31 2 *"])
def test_bad_lines(line: str) -> None:
    with pytest.raises(ValueError, match="cron line"):
        read_cron(line)


@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    after=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_a_daily_line_comes_once_a_day(minute: int, hour: int, after: datetime) -> None:
    instants = read_cron(f"{minute} {hour} * * *", after)
    first, second = next(instants), next(instants)
    assert first > after
    assert (first.hour, first.minute) == (hour, minute)
    assert (second - first).total_seconds() == 86_400
