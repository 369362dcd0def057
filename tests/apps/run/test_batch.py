"""Batches: every row once, whatever stops them."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from noria.apps import current_context, load_app, run_batch
from noria.errors import ApiError, HomeBusy, NoriaError
from noria.testing import Reply
from noria.types import SpanKind
from tests.support.door import wait_until
from tests.support.plain import Home

Write = Callable[..., Path]

APP = """
from noria import App

app = App("desk", model="fake:small")
app.variant("tiny", model="fake:tiny")

@app.chat
async def answer(question: str) -> str:
    return await app.model.ask("", question=question)

@app.task
def half(n: int) -> float:
    return n / 2 if n else 1 / n
"""


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def batch(home: Home, function: str, **keywords: Any) -> Any:
    (app,) = load_app(home.folder / "desk.py")

    async def work() -> Any:
        return await run_batch(
            app,
            function,
            home.folder / "in.jsonl",
            home.folder / "out.jsonl",
            lambda: current_context(app),
            **keywords,
        )

    return asyncio.run(work())


def command(*more: str) -> list[str]:
    files = ["--in", "in.jsonl", "--out", "out.jsonl"]
    return [sys.executable, "-m", "noria.cli", "run", "desk.py", *more, *files]


def test_every_row_has_its_result(home: Home, write: Write) -> None:
    write("desk.py", APP)
    write("in.jsonl", '{"n": 1}\n\n{"n": 0}\n{"m": 1}\nnot json\n[1]\n{"n": 4}')
    report = batch(home, "half", concurrency=3)
    assert (report.rows, report.done, report.failed, report.already) == (6, 2, 4, 0)
    assert [line for line, _ in sorted(report.errors)] == [3, 4, 5, 6]
    found = {row["index"]: row for row in rows(home.folder / "out.jsonl")}
    assert set(found) == {0, 2, 3, 4, 5, 6}
    assert list(found[0]) == ["index", "input", "output", "error", "trace_id"]
    assert (found[0]["output"], found[6]["output"]) == (0.5, 2.0)
    assert found[2]["error"]["code"] == "app_failed"
    assert "n: is missing" in found[3]["error"]["message"]
    assert found[4]["input"] == "not json"
    assert found[5]["error"]["message"] == "The row is not a JSON object."
    traces = {span.trace_id for span in home.spans(SpanKind.APP)}
    assert traces == {found[index]["trace_id"] for index in (0, 2, 6)}


def test_a_second_run_does_nothing(home: Home, write: Write) -> None:
    write("desk.py", APP)
    write("in.jsonl", '{"n": 1}\n{"n": 2}\n')
    told: list[tuple[int, int]] = []
    batch(home, "half", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (2, 2)
    before = (home.folder / "out.jsonl").read_bytes()
    report = batch(home, "half")
    assert (report.already, report.done) == (2, 0)
    assert (home.folder / "out.jsonl").read_bytes() == before


def test_rows_that_were_added_are_run(home: Home, write: Write) -> None:
    write("desk.py", APP)
    write("in.jsonl", '{"n": 1}\n')
    batch(home, "half")
    write("in.jsonl", '{"n": 1}\n{"n": 8}\n')
    assert batch(home, "half").done == 1
    assert [row["output"] for row in rows(home.folder / "out.jsonl")] == [0.5, 4.0]


@pytest.mark.parametrize("torn", ['{"index": 1, "inp', '{"index":1,"input":{"n":2},"output":1.0'])
def test_a_line_that_was_cut_is_run_again(home: Home, write: Write, torn: str) -> None:
    write("desk.py", APP)
    write("in.jsonl", '{"n": 1}\n{"n": 2}\n')
    batch(home, "half")
    first = (home.folder / "out.jsonl").read_text().splitlines()[0]
    write("out.jsonl", f"{first}\n{torn}")
    assert batch(home, "half").done == 1
    assert sorted(row["index"] for row in rows(home.folder / "out.jsonl")) == [0, 1]


def test_a_file_cut_anywhere_is_gone_on_with(home: Home, write: Write) -> None:
    write("desk.py", APP)
    write("in.jsonl", '{"n": 1}\n{"n": 0}\n{"n": 3}\n')
    batch(home, "half")
    out = home.folder / "out.jsonl"
    whole = out.read_bytes()
    for cut in range(0, len(whole), 7):
        out.write_bytes(whole[:cut])
        report = batch(home, "half")
        assert report.already == whole[:cut].count(b"\n")
        assert report.already + report.done + report.failed == 3
        assert {row["index"]: row["output"] for row in rows(out)} == {0: 0.5, 1: None, 2: 1.5}
        assert out.read_bytes().startswith(whole[:cut].rpartition(b"\n")[0])


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ('{"index": 0, "input": {"n": 7}, "output": 3.5}\n', "another row 0"),
        ("hello\n", "line 1: this is not a row that a batch wrote"),
        ('{"a": 1}\n', "line 1: this is not a row that a batch wrote"),
    ],
)
def test_the_results_of_others_are_left_alone(
    home: Home, write: Write, out: str, message: str
) -> None:
    write("desk.py", APP)
    write("in.jsonl", '{"n": 1}\n')
    write("out.jsonl", out)
    with pytest.raises(NoriaError, match=message):
        batch(home, "half")
    assert (home.folder / "out.jsonl").read_text() == out


def test_two_batches_do_not_share_a_file(home: Home, write: Write) -> None:
    write("desk.py", APP)
    write("in.jsonl", '{"n": 1}\n')
    with (home.folder / "out.jsonl").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(HomeBusy, match="Another batch"):
            batch(home, "half")


def test_what_cannot_be_run(home: Home, write: Write) -> None:
    write("desk.py", APP)
    with pytest.raises(NoriaError, match="cannot be read"):
        batch(home, "half")
    write("in.jsonl", "{}\n")
    with pytest.raises(NoriaError, match="no function 'third'"):
        batch(home, "third")
    with pytest.raises(ApiError, match="no variant 'huge'"):
        batch(home, "half", variant="huge")


def test_a_variant_asks_its_model(home: Home, write: Write) -> None:
    write("desk.py", APP)
    write("in.jsonl", '{"question": "?"}\n')
    batch(home, "answer", variant="tiny")
    assert [one.body["model"] for one in home.fake.requests] == ["tiny"]


def questions(home: Home) -> Counter[str]:
    return Counter(one.body["messages"][-1]["content"] for one in home.fake.requests)


def test_a_kill_loses_no_row_and_runs_none_twice(home: Home, write: Write) -> None:
    write("desk.py", APP)
    write("in.jsonl", "".join(json.dumps({"question": str(n)}) + "\n" for n in range(40)))
    home.fake.reply = Reply(text="ok", first_delay=0.02)
    out = home.folder / "out.jsonl"
    for target in (6, 15, 27):
        process = subprocess.Popen(
            command("answer", "--concurrency", "2"), cwd=home.folder, stderr=subprocess.DEVNULL
        )
        wait_until(lambda t=target: out.exists() and out.read_bytes().count(b"\n") >= t, 60)  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    done = subprocess.run(command("answer"), cwd=home.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = rows(out)
    assert sorted(row["index"] for row in found) == list(range(40))
    assert all(row["output"] == "ok" for row in found)
    # Only what was under way when it was killed was asked again.
    again = {question for question, times in questions(home).items() if times > 1}
    assert len(again) <= 3 * 2


def test_ctrl_c_writes_what_is_done(home: Home, write: Write) -> None:
    write("desk.py", APP)
    write("in.jsonl", "".join(json.dumps({"question": str(n)}) + "\n" for n in range(300)))
    home.fake.reply = Reply(text="ok", first_delay=0.02)
    out = home.folder / "out.jsonl"
    process = subprocess.Popen(
        command("answer", "--concurrency", "2"),
        cwd=home.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: out.exists() and out.read_bytes().count(b"\n") >= 5, 60)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "run it again to go on" in said
    assert "Traceback" not in said
    assert 5 <= len(rows(out)) < 300


def test_the_verb_reports(home: Home, write: Write) -> None:
    write("desk.py", APP)
    write("in.jsonl", '{"n": 1}\n{"n": 0}\n')
    done = subprocess.run(
        command("desk.half", "--json"), cwd=home.folder, capture_output=True, text=True
    )
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["rows"], report["done"], report["failed"]) == (2, 1, 1)
    assert report["errors"][0]["line"] == 2
    again = subprocess.run(command("half"), cwd=home.folder, capture_output=True, text=True)
    assert again.returncode == 0
    assert "0 of 2 rows run (2 were done before)" in again.stderr
    unknown = subprocess.run(command("third"), cwd=home.folder, capture_output=True, text=True)
    assert unknown.returncode == 1
    assert "There is: desk.answer, desk.half." in unknown.stderr
