"""`noria arena rate`."""

from __future__ import annotations

import json
import math

import pytest

from noria.errors import NotFound
from tests.evals.support import battles, logistic_elo

STRENGTHS = {"ada": 0.8, "bob": 0.0, "cid": -0.6}


@pytest.fixture
def file(tmp_path):
    rows = battles(STRENGTHS, 300, seed=1)
    lines = [json.dumps(row) for row in rows]
    lines += ["nonsense", json.dumps(rows[0] | {"winner": "draw"})]
    lines += [json.dumps({"model_a": "new", "model_b": "ada", "winner": "model_a"})]
    path = tmp_path / "battles.jsonl"
    path.write_text("\n".join(lines))
    return path, rows


def test_json_is_exact(file, run_json):
    path, rows = file
    board = run_json("arena", "rate", str(path))
    assert board["battles"] == 301
    assert board["dropped"] == {"not_json": 1, "unknown_label": 1}
    assert (board["method"], board["intervals"]) == ("bt", "sandwich")
    ratings = {one["model"]: one["rating"] for one in board["ratings"]}
    assert ratings == pytest.approx(logistic_elo(rows)[0], abs=1e-6)
    assert [one["rating"] for one in board["ratings"]] == sorted(ratings.values(), reverse=True)
    assert set(board["ratings"][0]) == {
        "model", "rating", "lower", "upper", "rank",
        "battles", "wins", "losses", "ties", "both_bad",
    }  # fmt: skip
    assert board["both_bad"] == sum(row["winner"] == "tie (bothbad)" for row in rows)
    assert [(one["model"], one["reason"]) for one in board["unrated"]] == [("new", "only_wins")]


def test_options(file, run_json, tmp_path):
    path, _ = file
    board = run_json("arena", "rate", str(path), "--anchor", "bob=1114", "--bootstrap", "50",
                     "--seed", "3")  # fmt: skip
    assert board["intervals"] == "bootstrap"
    (bob,) = (one for one in board["ratings"] if one["model"] == "bob")
    assert (bob["lower"], bob["rating"], bob["upper"]) == pytest.approx((1114, 1114, 1114))
    again = run_json("arena", "rate", str(path), "--anchor", "bob=1114", "--bootstrap", "50",
                     "--seed", "3")  # fmt: skip
    assert again == board
    elo = run_json("arena", "rate", str(path), str(path), "--method", "elo", "--k", "16")
    assert (elo["method"], elo["intervals"], elo["battles"]) == ("elo", None, 602)
    assert len(elo["ratings"]) == 4
    everybody = run_json("arena", "rate", str(path), "--prior", "1")
    assert everybody["unrated"] == []
    assert all(math.isfinite(one["upper"]) for one in everybody["ratings"])


def test_a_table_for_people_and_what_was_left_out(file, run):
    path, _ = file
    done = run("arena", "rate", str(path))
    assert done.stdout.split("\n")[1].split()[1] == "ada"
    assert "new is unrated: it won every battle (1 battles)" in done.stderr
    assert "Dropped: 1 rows not JSON." in done.stderr
    assert "inf" not in done.stdout + done.stderr
    assert "nan" not in done.stdout


def test_style(run, run_json, tmp_path):
    path = tmp_path / "styled.jsonl"
    rows = battles(STRENGTHS, 200, seed=2)
    talk = [{"role": "assistant", "content": "word " * 3}]
    path.write_text("\n".join(
        json.dumps(row | {"conversation_a": "# long\n" * (at % 7 + 1), "conversation_b": talk})
        for at, row in enumerate(rows)
    ))  # fmt: skip
    board = run_json("arena", "rate", str(path), "--style")
    assert set(board["style"]) == {"length", "headings", "lists", "bold"}
    assert (
        "Points for one root mean square more: length"
        in run("arena", "rate", str(path), "--style").stderr
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--anchor", "ada"], "--anchor"), (["--anchor", "ada=inf"], "--anchor"),
        (["--k", "0"], "--k"),
        (["--method", "elo", "--style"], "--method"), (["--bootstrap", "-1"], "--bootstrap"),
        (["--since", "yesterday"], "--since"),
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(file, run, arguments, said):
    done = run("arena", "rate", str(file[0]), *arguments)
    assert done.exit_code == 2
    assert said in done.stderr


def test_what_is_not_there(run, file):
    with pytest.raises(NotFound, match="no file"):
        run("arena", "rate", "nothing.jsonl")
    with pytest.raises(NotFound, match="anchor nobody"):
        run("arena", "rate", str(file[0]), "--anchor", "nobody=1000")
