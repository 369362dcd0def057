"""Rows: what may not be learned from is refused by name and count; nothing leaks into what is
held out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from noria.datasets.row import parse_row
from noria.errors import NoriaError
from noria.tuning.rows import read_learning_rows, split
from noria.types import Label
from tests.tuning.conftest import colour_rows, write_rows


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("label", "confidential", r"1 row labelled confidential \(row-3\)"),
        ("consent", "no", r"1 row whose owner did not consent \(row-3\)"),
        ("licence", "CC-BY-ND-4.0", r"1 row under the licence 'CC-BY-ND-4\.0' \(row-3\)"),
    ],
)
def test_forbidden_rows_stop_the_run(tmp_path: Path, field: str, value: str, told: str) -> None:
    rows = colour_rows()
    rows[3][field] = value
    path = write_rows(tmp_path / "rows.jsonl", rows)
    with pytest.raises(NoriaError, match=told):
        read_learning_rows(str(path), None, clearance=Label.INTERNAL)


def test_the_label_of_the_rows_is_the_models(tmp_path: Path) -> None:
    rows = colour_rows()
    rows[3]["label"] = "confidential"
    path = write_rows(tmp_path / "rows.jsonl", rows)
    learned = read_learning_rows(str(path), None, clearance=Label.CONFIDENTIAL)
    assert learned.label is Label.CONFIDENTIAL
    assert learned.as_json()["rows"] == len(rows)


def test_rows_without_an_answer_are_nothing_to_learn_from(tmp_path: Path) -> None:
    row = {"id": "a", "messages": [{"role": "user", "content": "hello"}]}
    path = write_rows(tmp_path / "rows.jsonl", [row])
    with pytest.raises(NoriaError, match="nothing to learn"):
        read_learning_rows(str(path), None, clearance=Label.PUBLIC)
    with pytest.raises(NoriaError, match="preferences"):
        read_learning_rows(
            str(write_rows(path, colour_rows())), None, clearance=Label.PUBLIC, preferences=True
        )


def test_no_near_duplicate_of_a_held_out_row_is_learned_from() -> None:
    chance = random.Random(3)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(chance.choices(letters, k=6)) for _ in range(4000)]
    rows, cluster_of = [], {}
    for cluster in range(250):
        question = chance.choices(words, k=30)
        answer = chance.choices(words, k=30)
        for copy in range(3):
            changed = list(question)
            if copy:  # one word of sixty: a near duplicate
                changed[chance.randrange(30)] = chance.choice(words)
            identity = f"{cluster}-{copy}"
            cluster_of[identity] = cluster
            rows.append(
                parse_row(
                    {
                        "id": identity,
                        "messages": [
                            {"role": "user", "content": " ".join(changed)},
                            {"role": "assistant", "content": " ".join(answer)},
                        ],
                    }
                )
            )
    chance.shuffle(rows)
    kept, held_out = split(rows, 0.2, 0)
    assert 100 < len(held_out) < 200
    assert len(kept) + len(held_out) == len(rows)
    # 500 planted copies: none on both sides
    assert not {cluster_of[row.id] for row in kept} & {cluster_of[row.id] for row in held_out}


def test_one_row_repeated_holds_nothing_out() -> None:
    row = colour_rows(1)[0]
    rows = [parse_row(row | {"id": str(number)}) for number in range(20)]
    kept, held_out = split(rows, 0.2, 0)
    assert (len(kept), len(held_out)) == (20, 0)


def test_parts_of_one_conversation_stay_together() -> None:
    rows = [
        parse_row(row | {"conversation": f"talk-{number // 4}"})
        for number, row in enumerate(colour_rows(24))
    ]
    kept, held_out = split(rows, 0.25, 0)
    talks = [{row.extra["conversation"] for row in side} for side in (kept, held_out)]
    assert talks[1]
    assert not talks[0] & talks[1]
