"""`noria run --on ray`: rows of a file on a real cluster, and a driver that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.door import wait_until

pytestmark = pytest.mark.ray

APP = """
import time
from noria import App
app = App("rows", model="fake:small")

@app.task
def slow(n: int, code: str = "") -> str:
    time.sleep(0.02)
    if n == 13:
        raise ValueError("thirteen")
    return f"{n}:{code}"
"""


@pytest.fixture
def batch(tmp_path: Path, ray_head: Any) -> Any:
    (tmp_path / "rows_app.py").write_text(APP)
    (tmp_path / "noria.toml").write_text(
        f'[clusters.ray]\naddress = "{ray_head.address}"\ntoken_env = "NORIA_TEST_RAY_TOKEN"\n'
    )
    # A code that any reader of tables would take for a number or a date.
    rows = [{"n": n, "code": f"00{n}"} for n in range(400)]
    (tmp_path / "in.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                sys.executable, "-m", "noria.cli", "run", "rows_app.py", "slow", "--in", "in.jsonl",
                "--out", "out.jsonl", "--on", "ray", "--json",
            ],
            cwd=tmp_path,
            env=os.environ | {"NORIA_HOME": str(tmp_path / ".noria")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    return begin


def test_a_killed_driver_goes_on_and_does_no_row_twice(batch: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    first = batch()
    wait_until(lambda: out.exists() and out.read_bytes().count(b"\n") >= 60, 60)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    before = out.read_bytes().count(b"\n")
    assert before < 400
    second = batch()
    told, said = second.communicate(timeout=90)
    report = orjson.loads(told)
    assert second.returncode == (1 if report["failed"] else 0), said
    assert report["already"] >= before - 1
    rows = sorted(map(orjson.loads, out.read_bytes().splitlines()), key=lambda row: row["index"])
    assert [row["index"] for row in rows] == list(range(400))
    assert rows[7]["output"] == "7:007"
    assert rows[13]["error"]["code"] == "app_failed"
    assert len({row["trace_id"] for row in rows}) == 400
