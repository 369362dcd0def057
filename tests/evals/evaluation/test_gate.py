"""The gate: a golden set, stored evaluations, and regressions that chance does not explain."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.errors import NoriaError
from noria.evals.evaluation.golden import read_rows
from noria.evals.evaluation.regressions import Regression, differing, missing, regressions
from noria.evals.evaluation.results import Results
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


def results(passes: dict[str, dict[str, float]], **digests: object) -> Results:
    rows = {row for passed in passes.values() for row in passed}
    made = Results(["app"], None, asked=dict.fromkeys(rows, "?"), digests=digests)
    made.checks["app"] = passes
    return made


def compared(before: Results, now: Results) -> list[Regression]:
    return regressions(before, "app", now, "app")


passes = st.dictionaries(st.sampled_from("abcdefgh"), st.booleans(), min_size=1)


@settings(deadline=None)
@given(passes, passes)
def test_only_rows_that_fell_are_regressions(before: dict[str, bool], now: dict[str, bool]) -> None:
    if not before.keys() & now.keys():
        with pytest.raises(NoriaError, match="no row in common"):
            compared(results({"check": before}), results({"check": now}))
        return
    found = compared(results({"check": before}), results({"check": now}))
    fell = {row for row in now if before.get(row) and not now[row]}
    assert {row for one in found for row in one.rows} == fell
    for one in found:
        assert 0 < one.p_value <= one.corrected <= 1
        assert not (one.beyond_noise and one.now[0] >= one.before[0])


def test_repeats_of_a_row_are_averaged_and_an_unchanged_application_passes() -> None:
    """88 % of a hundred runs pass: with ten repeats for each row hardly any row passes all ten."""
    rng, alarms = random.Random(1), 0
    for _ in range(60):
        rows = {f"r{n}": rng.betavariate(8.8, 1.2) for n in range(100)}
        once = {row: float(rng.random() < rate) for row, rate in rows.items()}
        often = {
            row: sum(rng.random() < rate for _ in range(10)) / 10 for row, rate in rows.items()
        }
        found = compared(results({"check": once}), results({"check": often}))
        alarms += any(one.beyond_noise for one in found)
    assert alarms <= 6


@pytest.mark.parametrize("checks", [1, 5, 20])
def test_several_checks_are_corrected_and_keep_their_power(checks: int) -> None:
    rng, alarms, seen, worlds = random.Random(checks), 0, 0, 100
    for _ in range(worlds):
        then = {f"c{n}": {str(row): rng.random() < 0.8 for row in range(80)} for n in range(checks)}
        same = {f"c{n}": {str(row): rng.random() < 0.8 for row in range(80)} for n in range(checks)}
        alarms += any(one.beyond_noise for one in compared(results(then), results(same)))
        same["c0"] = {str(row): rng.random() < 0.4 for row in range(80)}
        found = compared(results(then), results(same))
        seen += any(one.beyond_noise and one.check == "c0" for one in found)
    assert alarms <= 10
    assert seen >= 95


def test_what_says_nothing_any_more_is_missing() -> None:
    before = results({"gone": {"a": 1.0}, "kept": {"a": 1.0, "b": 1.0}})
    now = results({"kept": {"a": 1.0}, "thrown": {"a": 0.0}})
    now.broken["app"]["thrown"] = 1
    assert {one.check for one in missing(before, "app", now, "app")} == {"gone", "thrown"}
    assert [one.check for one in missing(None, "", now, "app")] == ["thrown"]


def test_differences_between_evaluations_are_told() -> None:
    before = results({"c": {"a": 1.0, "b": 1.0}}, questions_digest="1", checks={"c": "x"})
    now = results({"c": {"a": 1.0}}, questions_digest="2", checks={"c": "y"})
    questions, checks = differing(before, now)
    assert "1 rows are in both" in questions
    assert "checks changed" in checks
    assert "c" in checks


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('return "please" in reply', "raise RuntimeError", "polite threw on every row"),
        ("@check(reply)\ndef polite", "def polite", "polite was checked before"),
    ],
)
def test_a_check_that_throws_or_is_deleted_fails_the_gate(
    home: Door, old: str, new: str, why: str
) -> None:
    assert gate(home, "--save", "main").returncode == 0
    (home.folder / "app.py").write_text(APP.replace(old, new))
    fallen = gate(home, "--against", "main")
    assert fallen.returncode == 1
    assert f"MISSING: {why}" in fallen.stderr


def test_no_row_in_common_is_an_error_and_saving_asks_anew(home: Door, fake: FakeProvider) -> None:
    assert gate(home, "--save", "main").returncode == 0
    fake.forget()
    again = gate(home, "--save", "main")
    assert again.returncode == 0, again.stderr
    assert len(fake.requests) == ROWS + 1
    (home.folder / "golden.jsonl").write_text('{"id": "r1", "text": "another"}\n')
    nothing = gate(home, "--against", "main")
    assert nothing.returncode == 1
    assert "no row in common" in nothing.stderr
