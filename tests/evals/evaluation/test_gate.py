"""The gate: a golden set, stored evaluations, and regressions that chance does not explain."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.evals.evaluation.golden import read_rows, regressions
from noria.testing import FakeProvider, Reply
from tests.evals.evaluation.test_run import noria
from tests.support.door import PRICES, Door

APP = """
from noria import App, check

app = App("desk", model="fake:small")


@app.task
async def reply(text: str) -> str:
    return await app.model.ask("Answer.", text=text)


@check(reply)
def polite(reply: str) -> bool:
    return "please" in reply
"""
ROWS = 12


@pytest.fixture
def home(tmp_path: Path, fake: FakeProvider) -> Door:
    door = Door(tmp_path, fake, PRICES)
    (tmp_path / "app.py").write_text(APP)
    rows = [{"id": f"r{n}", "text": f"row {n}"} for n in range(ROWS)]
    rows.append({"id": "exact", "text": "say yes", "expected": "YES  please"})
    (tmp_path / "golden.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fake.reply = lambda received: Reply(
        text="yes please" if "say yes" in str(received.body) else "please wait"
    )
    return door


def gate(home: Door, *more: str) -> subprocess.CompletedProcess[str]:
    return noria(home, "eval", "gate", "app.py", "--data", "golden.jsonl", *more)


def test_what_did_not_get_worse_passes(home: Door) -> None:
    stored = gate(home, "--save", "main", "--json")
    assert stored.returncode == 0, stored.stderr
    assert json.loads(stored.stdout)["checks"] == {
        "polite": {"passed": ROWS + 1, "rows": ROWS + 1},
        "answered": {"passed": ROWS + 1, "rows": ROWS + 1},
        "expected": {"passed": 1, "rows": 1},
    }
    again = gate(home, "--against", "main", "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["regressions"] == []


def test_a_regression_beyond_noise_fails_and_names_check_and_rows(
    home: Door, fake: FakeProvider
) -> None:
    assert gate(home, "--save", "main").returncode == 0
    fake.reply = Reply(text="no.")
    fallen = gate(home, "--against", "main")
    assert fallen.returncode == 1
    assert "REGRESSION: polite passed 13 of 13 before and 0 now" in fallen.stderr
    assert "golden.jsonl, line 1 (r0)" in fallen.stderr
    assert "Traceback" not in fallen.stderr


def test_one_row_that_falls_is_said_and_is_within_noise(home: Door, fake: FakeProvider) -> None:
    assert gate(home, "--save", "main").returncode == 0
    fake.reply = lambda received: Reply(
        text="no." if '"row 3"' in str(received.body) or "row 3" in str(received.body)
        else "yes please"
    )  # fmt: skip
    told = gate(home, "--against", "main", "--json")
    assert told.returncode == 0, told.stderr
    (one,) = [one for one in json.loads(told.stdout)["regressions"] if one["check"] == "polite"]
    assert one["rows"] == [{"id": "r3", "line": 4}]
    assert not one["beyond_noise"]


def test_an_answer_that_does_not_come_is_a_failed_row(home: Door, fake: FakeProvider) -> None:
    fake.reply = Reply(status=400, text="no")
    told = json.loads(gate(home, "--json").stdout)
    assert told["checks"]["answered"] == {"passed": 0, "rows": ROWS + 1}


def test_unknown_names_and_bad_rows_say_what_to_do(home: Door) -> None:
    nothing = gate(home, "--against", "nowhere")
    assert nothing.returncode == 1
    assert "holds no evaluation" in nothing.stderr
    (home.folder / "golden.jsonl").write_text('{"text": "a"}\n{"text": "a"}\n')
    twice = gate(home)
    assert twice.returncode == 1
    assert "the lines 1 and 2 are the same row" in twice.stderr


def test_rows_keep_their_line_and_what_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('\n{"text": "a", "category": "x"}\n{"id": 7, "text": "b", "expected": "c"}\n')
    first, second = read_rows(path)
    assert (first.line, first.arguments, first.category) == (2, {"text": "a"}, "x")
    assert (second.id, second.expected) == ("7", "c")


passes = st.dictionaries(st.sampled_from("abcdefgh"), st.booleans(), min_size=1)


@given(passes, passes)
def test_only_rows_that_fell_are_regressions(before: dict[str, bool], now: dict[str, bool]) -> None:
    found = regressions({"check": before}, {"check": now})
    fell = {row for row in now if before.get(row) and not now[row]}
    assert {row for one in found for row in one.rows} == fell
    for one in found:
        assert 0 < one.p_value <= 1
        assert not (one.beyond_noise and one.now[0] >= one.before[0])
