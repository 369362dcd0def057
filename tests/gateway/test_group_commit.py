"""What waits for a record happens when it stands in the journal, and not at all otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from noria.errors import StoreUnavailable
from noria.gateway.group_commit import GroupCommit
from noria.store import Journal
from noria.store.journal.format import encode, read_records
from noria.store.journal.writer import MOST_FRAMES, segments


def written(home: Path) -> list[int]:
    return [record.meta["n"] for s in segments(home) for record in read_records(s.path)]


def in_a_turn(home: Path, work: Callable[[GroupCommit, Journal], Awaitable[None]]) -> None:
    async def run() -> None:
        journal = Journal(home, "w")
        await work(GroupCommit(journal), journal)
        journal.close()

    asyncio.run(run())


def unexpected(failure: StoreUnavailable) -> None:
    raise AssertionError(failure)


def test_records_of_one_turn_stand_in_the_journal_before_anything_happens(tmp_path: Path) -> None:
    async def work(turn: GroupCommit, _: Journal) -> None:
        seen: list[list[int]] = []
        for number in range(3):
            turn.after(encode({"n": number}), lambda: seen.append(written(tmp_path)), unexpected)
        assert (seen, written(tmp_path)) == ([], [])
        await asyncio.sleep(0)
        assert seen == [[0, 1, 2]] * 3

    in_a_turn(tmp_path, work)


def test_what_follows_from_a_record_comes_in_the_next_turn(tmp_path: Path) -> None:
    async def work(turn: GroupCommit, _: Journal) -> None:
        done = asyncio.Event()
        again = lambda: turn.after(encode({"n": 2}), done.set, unexpected)  # noqa: E731
        turn.after(encode({"n": 1}), again, unexpected)
        await asyncio.wait_for(done.wait(), 5)
        assert written(tmp_path) == [1, 2]

    in_a_turn(tmp_path, work)


def test_more_records_than_one_system_call_takes(tmp_path: Path) -> None:
    async def work(turn: GroupCommit, _: Journal) -> None:
        acted: list[int] = []
        for number in range(MOST_FRAMES + 7):
            turn.after(encode({"n": number}), lambda n=number: acted.append(n), unexpected)
        await asyncio.sleep(0)
        assert acted == written(tmp_path) == list(range(MOST_FRAMES + 7))

    in_a_turn(tmp_path, work)


def test_when_nothing_can_be_written_each_is_refused(tmp_path: Path) -> None:
    async def work(turn: GroupCommit, journal: Journal) -> None:
        refused: list[StoreUnavailable] = []
        journal.close()
        for number in range(2):
            turn.after(encode({"n": number}), pytest.fail, refused.append)
        await asyncio.sleep(0)
        assert len(refused) == 2
        assert "closed" in refused[0].message

    in_a_turn(tmp_path, work)


def test_one_that_goes_wrong_does_not_keep_the_others_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(turn: GroupCommit, _: Journal) -> None:
        acted: list[int] = []
        turn.after(encode({"n": 1}), lambda: 1 // 0, unexpected)  # type: ignore[arg-type,return-value]
        turn.after(encode({"n": 2}), lambda: acted.append(2), unexpected)
        await asyncio.sleep(0)
        assert acted == [2]

    in_a_turn(tmp_path, work)
    assert "ZeroDivisionError" in caplog.text
