"""A cleaning pass: what is kept, what is dropped and why, and that nothing is lost on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.datasets.cleaning import Options, clean_conversations, clean_file
from noria.datasets.cleaning.language import languages_of
from noria.datasets.cleaning.privacy import Masker
from noria.datasets.cleaning.tokens import token_counter
from noria.datasets.readers import Piece, conversations_of
from noria.errors import NoriaError

USER = {"from": "human", "value": "What is a noria, and who built the first one?"}
ANSWER = {"from": "gpt", "value": "A wheel that a stream turns, and that lifts its water."}


def clean(tmp_path: Path, source: Any, **options: Any) -> tuple[list[dict[str, Any]], Any]:
    """Clean conversations (or a file's bytes); gives the rows and the report."""
    path = tmp_path / "in.json"
    path.write_bytes(source if isinstance(source, bytes) else orjson.dumps(source))
    report = clean_file(path, tmp_path / "out.jsonl", Options(**options))
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").open()]
    assert report.turns_in == report.turns_out + report.dropped.total()
    return rows, report


def talk(*turns: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "x", "conversations": list(turns), **fields}


def said(who: str, text: str) -> dict[str, str]:
    return {"from": who, "value": text}


def test_a_row_has_exactly_the_promised_fields(tmp_path: Path) -> None:
    rows, report = clean(tmp_path, [talk(USER, ANSWER)])
    assert rows == [
        {
            "id": "x",
            "messages": [
                {"role": "user", "content": USER["value"]},
                {"role": "assistant", "content": ANSWER["value"]},
            ],
            "source": "in.json:1",
            "label": "public",
        }
    ]
    told = report.as_json()
    assert (told["conversations_in"], told["conversations_out"]) == (1, 1)
    assert (told["turns_in"], told["turns_out"], told["dropped"]) == (2, 2, {})
    assert told["bytes_in"] == (tmp_path / "in.json").stat().st_size


@pytest.mark.parametrize(
    ("turns", "kept", "reasons"),
    [
        ([ANSWER], 0, {"no_question": 1}),
        ([ANSWER, USER, ANSWER], 2, {"no_question": 1}),
        ([USER], 0, {"unanswered": 1}),
        ([USER, ANSWER, USER], 2, {"unanswered": 1}),
        ([USER, said("human", "And where?"), ANSWER], 2, {"merged": 1}),
        ([USER, ANSWER, ANSWER], 2, {"repeated": 1}),
        ([said("martian", "zork"), USER, ANSWER], 2, {"unknown_role": 1}),
        ([USER, said("gpt", "  "), said("human", "Well?"), ANSWER], 2, {"empty": 2}),
        ([USER, said("gpt", "I'm sorry, but I cannot help with that.")], 0, {"refusal": 2}),
        ([USER, said("gpt", "As an AI language model, I like it.")], 0, {"identity": 2}),
        ([USER, said("gpt", "network error")], 0, {"boilerplate": 2}),
        ([USER, said("gpt", "Here:\n```python\nprint(")], 0, {"truncated": 2}),
        ([{"from": "human", "value": [{"type": "image_url"}]}, ANSWER, USER, ANSWER], 2,
         {"multimodal": 2}),
        ([said("tool", "42"), USER, ANSWER], 2, {"tool_without_call": 1}),
        (["text", USER, ANSWER], 2, {"malformed_turn": 1}),
    ],
)  # fmt: skip
def test_every_dropped_turn_has_its_reason(
    tmp_path: Path, turns: list[Any], kept: int, reasons: dict[str, int]
) -> None:
    _, report = clean(tmp_path, [talk(*turns)])
    assert (report.turns_out, dict(report.dropped)) == (kept, reasons)


def test_a_filter_can_be_switched_off(tmp_path: Path) -> None:
    refused = talk(USER, said("gpt", "I'm sorry, but I cannot help with that."))
    rows, report = clean(tmp_path, [refused, refused], keep=("refusal", "duplicate"))
    assert len(rows) == 2
    assert not report.dropped


def test_the_last_pair_is_never_lost_when_a_conversation_is_split(tmp_path: Path) -> None:
    turns = [said("system", "Be brief.")]
    for number in range(40):
        turns += [said("human", f"Question {number}?"), said("gpt", f"Answer {number} " * 20)]
    rows, report = clean(tmp_path, [talk(*turns)], max_tokens=300)
    assert len(rows) > 5
    assert report.turns_out == 81
    assert all(row["messages"][0] == {"role": "system", "content": "Be brief."} for row in rows)
    questions = [m["content"] for row in rows for m in row["messages"] if m["role"] == "user"]
    assert questions == [f"Question {number}?" for number in range(40)]
    assert [row["id"] for row in rows[:2]] == ["x-1", "x-2"]
    count = token_counter(None)
    assert all(sum(count(m["content"]) + 4 for m in row["messages"]) <= 300 for row in rows)


def test_an_exchange_that_fits_nowhere_is_counted(tmp_path: Path) -> None:
    long = said("gpt", "word " * 500)
    rows, report = clean(tmp_path, [talk(USER, long, USER, ANSWER)], max_tokens=100)
    assert dict(report.dropped) == {"too_long": 2}
    assert len(rows) == 1


def test_conversations_in_other_languages_are_dropped_and_short_ones_are_not(
    tmp_path: Path,
) -> None:
    german = talk(
        said("human", "Wie hoch hebt ein Wasserrad das Wasser in den Kanal hinauf?"),
        said("gpt", "So hoch, wie sein Durchmesser es erlaubt, abzüglich der Eimer."),
    )
    chinese = talk(said("human", "你好，请问什么是水车？"), said("gpt", "水车是一种提水的工具。"))
    short = talk(said("human", "2+2?"), said("gpt", "4"))
    rows, report = clean(tmp_path, [talk(USER, ANSWER), german, chinese, short], lang="en")
    assert len(rows) == 2
    assert dict(report.dropped) == {"language": 4}


def test_languages_are_those_of_the_library() -> None:
    from py3langid import classify

    texts = [
        "The stream turns the wheel and the wheel lifts the water.",
        "Le courant fait tourner la roue, et la roue élève de l'eau.",
        "La corriente mueve la rueda y la rueda eleva el agua del río.",
        "Strumień obraca koło, a koło podnosi wodę do akweduktu.",
        "川の流れが水車を回し、水車が水を汲み上げる。とても古い仕組みです。",
    ]
    assert languages_of(texts) == [classify(text)[0] for text in texts]


def test_secrets_and_personal_data_become_stable_placeholders(tmp_path: Path) -> None:
    text = (
        "I am ann.b@example.com, call +44 20 7946 0958 or (415) 555-2671; card "
        "4111 1111 1111 1111, IBAN DE89 3704 0044 0532 0130 00, from 8.8.4.4, "
        "key sk-proj-abcdefghijklmnopqrstuvwx, again ann.b@example.com."
    )
    rows, report = clean(
        tmp_path, [talk(said("human", text), said("gpt", "Dear Ann (ann.b@example.com), done."))]
    )
    question, answer = (message["content"] for message in rows[0]["messages"])
    assert question == (
        "I am [EMAIL_1], call [PHONE_1] or [PHONE_2]; card [CARD_1], IBAN [IBAN_1], from [IP_1], "
        "key [API_KEY_1], again [EMAIL_1]."
    )
    assert answer == "Dear Ann ([EMAIL_1]), done."
    assert report.masked["EMAIL"] == 3


def test_figures_that_are_nobodys_stay() -> None:
    text = "In 2023-01-02 version 1.2.3 cost 1,234,567.89; 192.168.0.1, 1700000000, 3.14159265358"
    assert Masker().mask(text) == text


def test_personal_data_can_drop_the_exchange(tmp_path: Path) -> None:
    mail = talk(said("human", "Write to ann.b@example.com"), ANSWER, USER, ANSWER)
    rows, report = clean(tmp_path, [mail], personal="drop")
    assert dict(report.dropped) == {"personal_data": 2}
    assert "example.com" not in json.dumps(rows)


def test_half_written_and_foreign_bytes_cost_only_themselves(tmp_path: Path) -> None:
    good = orjson.dumps(talk(USER, ANSWER))
    latin = b'{"conversations":[{"from":"human","value":"caf\xe9 au lait, s\x92il te pla\xeet?"},' \
        b'{"from":"gpt","value":"Voil\xe0, monsieur."}]}'  # fmt: skip
    rows, report = clean(tmp_path, b"[" + good + b",\n" + latin + b',\n{"conversations":[{"fr')
    assert [row["messages"][0]["content"] for row in rows][1] == "café au lait, s’il te plaît?"
    assert report.faults == [{"source": "in.json:3", "reason": "cut_off"}]


def test_lines_that_are_no_conversations_are_named(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    good = orjson.dumps(talk(USER, ANSWER)).decode()
    path.write_text(f'{good}\n{{"half": \n[1]\n{{"other": 1}}\n\n')
    report = clean_file(path, tmp_path / "out.jsonl", Options())
    assert [(one["source"], one["reason"]) for one in report.faults] == [
        ("in.jsonl:2", "not_json"), ("in.jsonl:3", "not_an_object"), ("in.jsonl:4", "unknown_form"),
    ]  # fmt: skip
    assert report.conversations_out == 1


def test_ten_thousand_turns_and_deep_html_pass(tmp_path: Path) -> None:
    long = [said("human" if n % 2 == 0 else "gpt", f"turn {n}") for n in range(10_000)]
    bomb = talk(USER, said("gpt", "<div>" * 100_000 + "x" + "</div>" * 100_000))
    huge = talk(USER, said("gpt", "<p>" + "y" * 5_000_000 + "</p>"))
    _, report = clean(tmp_path, [talk(*long), bomb, huge], personal="keep")
    assert report.dropped["html_too_large"] == 2
    assert report.turns_out == 10_002


def test_a_disk_that_cannot_be_written_leaves_no_output(tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_bytes(orjson.dumps([talk(USER, ANSWER)]))
    with pytest.raises(NoriaError, match="cannot be written"):
        clean_file(path, tmp_path / "missing" / "out.jsonl", Options())


roles = st.sampled_from(["human", "gpt", "system", "tool", "robot", ""])
texts = st.one_of(
    st.sampled_from(["", "yes", "I'm sorry, but I can't help.", "<p>a<b>b</p>", "```\nx", "1 / 2"]),
    st.text(max_size=40),
)
turns = st.builds(said, roles, texts) | st.just("no object") | st.just({"from": "gpt"})
conversations = st.lists(turns, max_size=12).map(lambda some: talk(*some))


@settings(max_examples=150, deadline=None)
@given(st.lists(conversations, max_size=6), st.sampled_from([None, 20, 200]))
def test_turns_in_are_turns_kept_and_turns_dropped(some: list[Any], most: int | None) -> None:
    drafts = [
        (str(number), draft)
        for number, one in enumerate(some)
        for draft in conversations_of(Piece(str(number), orjson.dumps(one)))
    ]
    options = Options(max_tokens=most)
    for one, source in zip(
        clean_conversations(drafts, options, token_counter(None)), some, strict=True
    ):
        written = [json.loads(row) for row in one.rows]
        assert one.turns_in == len(source["conversations"])
        assert one.turns_in == one.turns_out + one.dropped.total()
        copies = max(len(written) - 1, 0) * sum(
            message["role"] == "system" for row in written[:1] for message in row["messages"]
        )
        assert sum(len(row["messages"]) for row in written) - copies == one.turns_out
        for row in written:
            spoken = [m["role"] for m in row["messages"] if m["role"] != "system"]
            assert spoken[0] == "user"
            assert spoken[-1] == "assistant"


def test_a_killed_pass_is_resumed_to_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    with source.open("wb") as file:
        for number in range(9_000):
            file.write(
                orjson.dumps(
                    talk(said("human", f"Question {number % 8_000} of many?"),
                         said("gpt", f"<p>Answer {number % 8_000}.</p>" * 12))
                ) + b"\n"
            )  # fmt: skip
    whole = clean_file(source, tmp_path / "whole.jsonl", Options(), workers=1)
    assert whole.dropped["duplicate"] == 2_000
    code = (
        "import sys; from pathlib import Path\n"
        "from noria.datasets.cleaning import run, Options\n"
        "run._CHECKPOINT_SECONDS = 0.0\n"
        "if __name__ == '__main__':\n"
        "    run.clean_file(Path('in.jsonl'), Path('out.jsonl'), Options(), workers=2)\n"
    )
    (tmp_path / "go.py").write_text(code)
    state = tmp_path / ".out.jsonl.partial" / "state.json"
    kills = 0
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "go.py"], cwd=tmp_path, start_new_session=True)
        before = state.read_bytes() if state.exists() else b""
        while process.poll() is None and not (state.exists() and state.read_bytes() != before):
            time.sleep(0.005)
        if process.poll() is None:
            kills += 1
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert kills
    done = subprocess.run([sys.executable, "go.py"], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not state.parent.exists()
