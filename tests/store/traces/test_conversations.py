"""Conversations that the server keeps, and what people say of answers."""

from __future__ import annotations

import threading
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noria.store import Database, create_key, evidence_of
from noria.store.traces.conversations import add_turn, find_conversation
from noria.store.traces.feedback import add_feedback
from noria.types import Label


def say(db: Database, key: str, name: str, question: str, label: Label = Label.PUBLIC) -> int:
    return add_turn(
        db,
        key,
        name,
        app="support",
        label=label,
        trace_id=f"trace of {question}",
        question=question,
        answer=f"re: {question}",
    )


def test_a_conversation_begins_with_its_first_turn(db: Database) -> None:
    assert find_conversation(db, "key_1", "trip") is None
    assert say(db, "key_1", "trip", "one") == 1
    assert say(db, "key_1", "trip", "two") == 2
    found = find_conversation(db, "key_1", "trip")
    assert found is not None
    assert [(turn.question, turn.answer) for turn in found.turns] == [
        ("one", "re: one"),
        ("two", "re: two"),
    ]
    assert (found.app, found.label) == ("support", Label.PUBLIC)


def test_the_same_name_of_another_key_is_another_conversation(db: Database) -> None:
    say(db, "key_1", "trip", "mine", Label.CONFIDENTIAL)
    assert find_conversation(db, "key_2", "trip") is None
    say(db, "key_2", "trip", "theirs")
    mine, theirs = find_conversation(db, "key_1", "trip"), find_conversation(db, "key_2", "trip")
    assert mine is not None
    assert theirs is not None
    assert [turn.question for turn in mine.turns] == ["mine"]
    assert [turn.question for turn in theirs.turns] == ["theirs"]
    assert theirs.label is Label.PUBLIC


def test_only_the_latest_turns_are_given_back(db: Database) -> None:
    for number in range(1, 204):
        say(db, "key_1", "long", str(number))
    found = find_conversation(db, "key_1", "long")
    assert found is not None
    assert [turn.question for turn in found.turns] == [str(n) for n in range(4, 204)]


def test_turns_that_are_added_at_once_have_numbers_of_their_own(db: Database) -> None:
    numbers: list[int] = []
    threads = [
        threading.Thread(target=lambda: numbers.append(say(db, "key_1", "busy", "?")))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 13))


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(labels=st.lists(st.sampled_from(Label), min_size=1, max_size=6))
def test_a_conversations_label_only_rises(db: Database, labels: list[Label]) -> None:
    name = "-".join(str(int(label)) for label in labels)
    key = f"key_{len(find_all(db))}"
    for number, label in enumerate(labels, 1):
        say(db, key, name, "?", label)
        found = find_conversation(db, key, name)
        assert found is not None
        assert found.label == max(labels[:number])


def find_all(db: Database) -> list[str]:
    with db.read() as connection:
        return list(
            connection.exec_driver_sql("SELECT DISTINCT key_id FROM conversations").scalars()
        )


def test_what_people_say_stands_beside_the_run(db: Database, tmp_path: Path) -> None:
    key, _ = create_key(db, user="ann")
    add_feedback(db, key, "0" * 32, -1, "It is wrong.")
    add_feedback(db, key, "0" * 32, 0.5, None)
    remarks = evidence_of(db, "0" * 32).remarks
    assert [(r.key_id, r.user, r.score, r.comment) for r in remarks] == [
        (key.id, "ann", -1.0, "It is wrong."),
        (key.id, "ann", 0.5, None),
    ]
