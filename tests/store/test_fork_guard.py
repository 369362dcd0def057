"""A child that is forked in the midst of transactions can use the database."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from noria.config import Config
from noria.store import open_database
from noria.store.traces.marks import mark_of, raise_mark
from noria.types import Label


def test_a_fork_waits_for_transactions_and_its_child_finds_nothing_locked(tmp_path: Path) -> None:
    config = Config(home=tmp_path / ".noria")
    db = open_database(config)
    stop = threading.Event()

    def work(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            raise_mark(db, f"{number}-{turn}", Label.INTERNAL)
            mark_of(db, f"{number}-{turn}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    codes = []
    try:
        for child in range(12):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    own = open_database(config)
                    raise_mark(own, f"child {child}", Label.CONFIDENTIAL)
                    code = 0 if mark_of(own, f"child {child}") is Label.CONFIDENTIAL else 2
                finally:
                    os._exit(code)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert codes == [0] * 12
    assert mark_of(db, "child 11") is Label.CONFIDENTIAL
    db.close()
