"""`noria spend`, `noria trace`, `noria chat` and `noria model`, over a fake provider and no
server: the gateway's core runs in the command's own process."""

from __future__ import annotations

import json
import re
import select
import signal
import subprocess
import sys

import pytest

from noria.errors import NoriaError, NotFound
from noria.store import list_keys, open_database
from noria.testing import Fault, Reply
from noria.types import Money

CONFIG = """
[providers.acme]
base_url = "{url}"
[prices."acme:big"]
input = 2.0
output = 8.0
[prices."acme:embed-small"]
input = 0.1
[models.default]
targets = ["acme:big"]
[teams.local]
budget = "1 USD/day"
"""


@pytest.fixture
def acme(home, fake_provider):
    """The model `default` is answered by a fake provider."""
    (home.parent / "noria.toml").write_text(CONFIG.format(url=fake_provider.url))
    return fake_provider


@pytest.fixture
def called(acme, run):
    """Two good calls and a failed one."""
    for question in ("How deep is the well?", "And the river?"):
        run("chat", input=question)
    acme.reply = Reply(fault=Fault.UNAUTHORIZED)
    with pytest.raises(NoriaError):
        run("chat", input="Anybody there?")


def test_chat_prints_the_answer_alone(acme, run):
    acme.reply = Reply(text="As deep as it must be.")
    done = run("chat", input="How deep is the well?")
    assert done.stdout == "As deep as it must be.\n"


def test_chat_sends_the_system_prompt_first(acme, run):
    run("chat", "acme:big", "--system", "Be brief.", input="How deep?")
    assert acme.requests[-1].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How deep?"},
    ]


def test_chat_shows_control_characters_as_text(acme, run):
    acme.reply = Reply(text="\x1b[2Jgone\x07")
    assert run("chat", input="?").stdout == "\ufffd[2Jgone\ufffd\n"


def test_chat_stays_within_the_owners_budget(acme, run, home):
    config = (home.parent / "noria.toml").read_text()
    (home.parent / "noria.toml").write_text(config.replace("1 USD/day", "0.000001 USD/day"))
    with pytest.raises(NoriaError, match="local"):
        run("chat", input="How deep is the well?")
    assert not acme.requests


def test_chat_refuses_a_wrong_key(acme, run, monkeypatch):
    monkeypatch.setenv("NORIA_KEY", "noria-of-somebody-else")
    with pytest.raises(NoriaError, match="not a key of this home"):
        run("chat", input="?")


def test_spend_rows(called, run, run_json):
    (row,) = run_json("spend")
    assert row["model"] == "default"
    assert row["calls"] == 3
    assert row["spent_nano"] == 2000 * row["input_tokens"] + 8000 * row["output_tokens"]
    assert row["held_nano"] == 0
    (row,) = run_json("spend", "--by", "team")
    assert (row["team"], row["limit_nano"], row["window"]) == ("local", 1_000_000_000, "day")
    assert row["window_spent_nano"] == row["spent_nano"]
    assert {*row} == {
        "team", "calls", "input_tokens", "output_tokens", "spent_nano", "uncertain_nano",
        "held_nano", "limit_nano",
        "window", "window_spent_nano",
    }  # fmt: skip
    for by in ("key", "user", "day"):
        assert run_json("spend", "--by", by)[0].keys() >= {by, "calls", "limit_nano"}
    assert run_json("spend", "--since", "2020-01-01")[0]["calls"] == 3
    shown = run("spend", "--by", "team").stdout
    assert f"{Money(row['spent_nano'])} of $1.00 a day" in shown


def test_trace_ls_rows(called, run_json):
    failed, second, first = run_json("trace", "ls")
    assert {*first} >= {
        "id", "trace_id", "kind", "model", "status", "input_tokens", "output_tokens", "cost_nano",
        "started_at", "duration_ms", "ttft_ms",
    }  # fmt: skip
    assert (first["kind"], first["model"], first["status"]) == ("chat", "default", "ok")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first["started_at"])
    assert first["started_at"] < second["started_at"] < failed["started_at"]
    assert failed["status"] == "error"
    assert [row["id"] for row in run_json("trace", "ls", "--limit", "1")] == [failed["id"]]
    assert [row["id"] for row in run_json("trace", "ls", "--status", "error")] == [failed["id"]]
    assert [row["id"] for row in run_json("trace", "ls", "--text", "deep well")] == [first["id"]]
    assert run_json("trace", "ls", "--until", "2020-01-01") == []
    assert run_json("trace", "ls", "--min-ms", "1e9") == []
    assert len(run_json("trace", "ls", "--key", first["key_id"], "--since", "1h")) == 3


def test_trace_show_by_either_id(called, run, run_json):
    first = run_json("trace", "ls")[-1]
    shown = run_json("trace", "show", first["id"])
    assert shown == run_json("trace", "show", first["trace_id"])
    assert shown["trace_id"] == first["trace_id"]
    (span,) = shown["spans"]
    question = {"role": "user", "content": "How deep is the well?"}
    assert span["request"]["messages"] == [question]
    assert span["response"]["choices"][0]["message"]["role"] == "assistant"
    text = run("trace", "show", first["id"]).stdout
    assert "How deep is the well?" in text
    assert span["response"]["choices"][0]["message"]["content"] in text
    with pytest.raises(NotFound):
        run("trace", "show", "ffff")


def test_lists_are_tables_for_people(called, run):
    lines = run("trace", "ls").stdout.splitlines()
    assert len(lines) == 4
    assert "error" in lines[1]
    assert lines[0].split()[0] == "trace"
    assert "\x1b" not in lines[0]


def test_tail_prints_each_call_as_it_ends(acme, run, home):
    command = [sys.executable, "-m", "noria.cli", "trace", "tail", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=home.parent)
    try:
        assert process.stdout is not None
        # What ends before the first look is not shown: ask until it looks.
        while not select.select([process.stdout], [], [], 0.5)[0]:
            assert process.poll() is None
            run("chat", input="Are you there?")
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
    assert first["status"] == "ok"
    assert first["model"] == "default"


def test_model_ls(acme, run, run_json):
    rows = {row["name"]: row for row in run_json("model", "ls")}
    assert [target["name"] for target in rows["default"]["targets"]] == ["acme:big"]
    assert rows["default"]["price"] == {"input": "2", "output": "8", "cached_input": "2"}
    assert rows["local:smollm2"]["local"]
    assert rows["local:minilm"]["capabilities"] == ["embeddings"]
    assert "acme:big" in run("model", "ls").stdout


def test_model_test(acme, run, run_json):
    acme.reply = Reply(text="Hello from over the hill.")
    result = run_json("model", "test", "acme:big")
    assert result["reply"] == "Hello from over the hill."
    assert result["answered_by"] == "acme:big"
    acme.reply = Reply(fault=Fault.UNAUTHORIZED)
    with pytest.raises(NoriaError):
        run("model", "test", "acme:big")


def test_model_test_embeds_where_the_model_does(acme, run_json):
    assert run_json("model", "test", "acme:embed-small")["dimensions"] > 0


def test_pull_knows_only_embedded_models(run):
    with pytest.raises(NotFound, match="local:smollm2"):
        run("model", "pull", "acme:big")


def test_the_owner_gets_one_key(acme, run, home):
    run("chat", input="one")
    run("chat", input="two")
    from noria.config import load

    (key,) = list_keys(open_database(load()))
    assert key.team == "local"
    assert (home / "local-key").stat().st_mode & 0o777 == 0o600
