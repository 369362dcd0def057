"""examples/data_cleaning: what a rule finds, what the model may say, what fails by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from noria.testing import FORBID_REAL_REQUESTS, Reply

SAID = {
    "Lovelace": {"given_name": "Ada", "family_name": "Lovelace", "company": None},
    "hopper": {"given_name": "grace", "family_name": "hopper", "company": "Navy"},
    "Turing": {"given_name": "Alan", "family_name": "Turing", "company": "MI6"},  # made up
    "Linus": {"given_name": "Linus", "family_name": "P.", "company": None},
}


def answer(received) -> Reply:
    text = received.body["messages"][-1]["content"]
    return Reply(json.dumps(next(said for name, said in SAID.items() if name in text)))


@pytest.fixture(scope="module")
def door(example, fake):
    fake.by_model["small"] = answer
    return example("data_cleaning", model="cleaner", serve=False)


def test_good_rows_come_out_clean_and_bad_ones_are_named(door):
    files = ["--in", "people.jsonl", "--out", "clean.jsonl"]
    environ = {name: value for name, value in os.environ.items() if name[:6] != "NORIA_"}
    environ[FORBID_REAL_REQUESTS] = "1"
    done = subprocess.run(
        [sys.executable, "-m", "noria.cli", "run", "app.py", "clean", *files],
        cwd=door.folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    rows = [json.loads(line) for line in (door.folder / "clean.jsonl").read_text().splitlines()]
    rows.sort(key=lambda row: row["index"])
    assert len(rows) == 5, done.stderr
    assert rows[0]["output"] == {
        "given_name": "Ada", "family_name": "Lovelace", "company": None,
        "email": "ada@analytical.example", "phone": "+442079460958",
    }  # fmt: skip
    assert rows[1]["output"]["company"] == "Navy"
    assert rows[1]["output"]["phone"] is None
    errors = [json.dumps(row["error"]) for row in rows]
    assert "mi6" in errors[2]
    assert "no email address" in errors[3]
    assert "no telephone number" in errors[4]
    assert all(rows[index]["output"] is None for index in (2, 3, 4))
    assert "3 failed" in done.stderr + done.stdout
