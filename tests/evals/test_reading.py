"""Files of battles: what cannot be used is dropped and counted, never silently."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.errors import NoriaError, NotFound
from noria.evals import Battles, rate, read_battles
from noria.evals.battles import Selection
from tests.evals.support import LABELS, battles

SOUND = {"model_a": "x", "model_b": "y", "winner": "model_a"}


def of(tmp_path, *lines: bytes | dict):
    path = tmp_path / "battles.jsonl"
    path.write_bytes(
        b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    )
    return path


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"model_a": "x\xff", "model_b": "y", "winner": "model_a"}', "not_utf8"),
        (b"{nonsense", "not_json"),
        (b'{"model_a": "x", "model_b": "y", "winner": "model_a"} {}', "not_json"),
        (b'["x", "y", "model_a"]', "not_an_object"),
        (b"null", "not_an_object"),
        ({"model_a": "x", "winner": "model_a"}, "missing_field"),
        ({"model_a": "x", "model_b": "y"}, "missing_field"),
        (SOUND | {"model_b": ""}, "missing_field"),
        (SOUND | {"model_b": None}, "missing_field"),
        (SOUND | {"model_b": 7}, "missing_field"),
        (SOUND | {"model_b": ["y"]}, "missing_field"),
        (SOUND | {"winner": None}, "missing_field"),
        (SOUND | {"winner": "x"}, "unknown_label"),
        (SOUND | {"winner": "Tie"}, "unknown_label"),
        (SOUND | {"winner": "bothbad"}, "unknown_label"),
        (SOUND | {"winner": 0}, "unknown_label"),
        (SOUND | {"winner": {"model": "x"}}, "unknown_label"),
        (SOUND | {"model_b": "x"}, "self_battle"),
    ],
)
def test_what_cannot_be_used_is_counted(tmp_path, line, reason):
    found = read_battles(of(tmp_path, SOUND, line, SOUND))
    assert found.dropped == {reason: 1}
    assert len(found) == 2


def test_an_unknown_label_is_never_a_tie(tmp_path):
    board = rate(read_battles(of(tmp_path, *[SOUND | {"winner": "draw"}] * 5, SOUND)))
    assert board.dropped == {"unknown_label": 5}
    assert [one.ties for one in board.unrated] == [0, 0]


@pytest.mark.parametrize(
    "arguments", [{}, {"method": "elo"}, {"style": True}, {"propensity": True}, {"prior": 1.0}]
)
def test_no_battles_are_no_failure(tmp_path, arguments):
    for rows in ([], [7]):
        board = rate(rows, bootstrap=3, **arguments)
        assert (board.battles, board.ratings, board.unrated) == (0, [], [])
    assert len(read_battles(of(tmp_path))) == 0


def test_what_was_dropped_is_told_where_nothing_is_left():
    assert rate([SOUND | {"winner": "?"}]).dropped == {"unknown_label": 1}
    assert rate([SOUND], category="math").not_selected == 1


def test_blank_lines_marks_and_line_ends_are_nothing(tmp_path):
    line = json.dumps(SOUND).encode()
    path = tmp_path / "battles.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + line + b"\r\n\r\n  \n" + line + b"\r\n")
    found = read_battles(path)
    assert (len(found), found.dropped) == (2, {})


class TestDuplicates:
    def test_the_same_id(self, tmp_path):
        rows = [SOUND | {"id": "1"}, SOUND | {"id": "2"}, SOUND | {"id": "1", "winner": "tie"}]
        found = read_battles(of(tmp_path, *rows))
        assert (len(found), found.dropped) == (2, {"duplicate": 1})
        assert found.outcome.tolist() == [0, 0]

    def test_the_same_vote_at_the_same_time(self, tmp_path):
        first = SOUND | {"judge": "j1", "tstamp": 1.5}
        rows = [
            first, first | {"judge": "j2"}, first | {"tstamp": 2}, first | {"winner": "tie"},
            first | {"model_b": "z"}, first | {"language": "English"},
        ]  # fmt: skip
        found = read_battles(of(tmp_path, *rows))
        assert (len(found), found.dropped) == (5, {"duplicate": 1})

    def test_votes_that_cannot_be_told_apart_all_count(self, tmp_path):
        found = read_battles(of(tmp_path, *[SOUND] * 5, *[SOUND | {"judge": "j"}] * 5))
        assert (len(found), found.dropped) == (10, {})

    def test_a_row_that_is_dropped_does_not_hide_its_correction(self, tmp_path):
        rows = [SOUND | {"id": 1, "winner": "?"}, SOUND | {"id": 1}, SOUND | {"id": {"a": 1}}]
        found = read_battles(of(tmp_path, *rows))
        assert (len(found), found.dropped) == (2, {"unknown_label": 1})

    def test_names_of_fields_may_be_spelt_by_escapes(self, tmp_path):
        line = b'{"model_a": "x", "model_b": "y", "winner": "tie", "\\u0069d": 1}'
        assert read_battles(of(tmp_path, line, line)).dropped == {"duplicate": 1}

    def test_a_field_may_begin_late(self, tmp_path):
        rows = [SOUND] * 9000 + [SOUND | {"id": 1}, SOUND, SOUND | {"id": 1}]
        found = read_battles(of(tmp_path, *rows))
        assert (len(found), found.dropped) == (9002, {"duplicate": 1})

    def test_across_files(self, tmp_path):
        path = of(tmp_path, SOUND | {"id": 1}, SOUND | {"id": 2})
        assert read_battles([path, path]).dropped == {"duplicate": 2}


def test_only_known_contestants(tmp_path):
    found = read_battles(
        of(tmp_path, SOUND, SOUND | {"model_b": "z"}), selection=Selection(contestants={"x", "y"})
    )
    assert (len(found), found.dropped) == (1, {"unknown_model": 1})
    assert rate([SOUND], contestants=["x"]).dropped == {"unknown_model": 1}


class TestSelections:
    ROWS = [
        SOUND | {"category": "math", "language": "English", "judge": "ann", "tstamp": 10},
        SOUND | {"category": ["math", "hard"], "language": "German", "judge": "bob", "tstamp": 20},
        SOUND | {"category": "coding", "tstamp": "1970-01-01T00:00:30Z"},
        SOUND,
    ]

    @pytest.mark.parametrize(
        ("chosen", "count"),
        [
            ({"category": "math"}, 2), ({"category": "hard"}, 1), ({"language": "German"}, 1),
            ({"judge": "ann"}, 1), ({"since": 20}, 2), ({"until": 20}, 1),
            ({"since": datetime(1970, 1, 1, 0, 0, 15, tzinfo=UTC), "until": 30.0}, 1),
            ({"category": "math", "since": 15}, 1),
        ],
    )  # fmt: skip
    def test_the_others_are_no_fault(self, chosen, count):
        board = rate(self.ROWS, **chosen)
        assert board.battles == count
        assert board.not_selected == 4 - count
        assert board.dropped == {}

    def test_a_time_that_cannot_be_read_is_counted_where_times_matter(self):
        rows = [SOUND | {"tstamp": value} for value in (1, "soon", [1], True, 10**400)]
        assert rate(rows, since=0).dropped == {"unreadable_time": 4}
        assert rate(rows).dropped == {}

    def test_choosing_is_for_rows(self):
        with pytest.raises(ValueError, match="read_battles"):
            rate(Battles.of(self.ROWS), category="math")


def test_propensities_out_of_range_are_counted():
    rows = [SOUND | {"propensity": value} for value in (0.5, 0, -1, 2, None, "1", math.nan)]
    assert rate(rows, propensity=True).dropped == {"bad_propensity": 6}


def test_a_path_is_no_battles(tmp_path):
    with pytest.raises(ValueError, match="read_battles"):
        rate(str(of(tmp_path, SOUND)))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(NotFound, match="no file"):
        read_battles(tmp_path / "none.jsonl")
    with pytest.raises(NoriaError, match="cannot be read"):
        read_battles(tmp_path)


class TestParquet:
    pyarrow = pytest.importorskip("pyarrow")

    def written(self, tmp_path, rows, **types):
        from pyarrow import Table, parquet

        table = Table.from_pylist(rows)
        path = tmp_path / "battles.parquet"
        parquet.write_table(table, path)
        return path

    def test_says_what_json_lines_say(self, tmp_path):
        rows = battles({"x": 0.5, "y": 0.0, "z": -0.5}, 500, seed=1)
        for place, one in enumerate(rows):
            one |= {"judge": f"j{place % 7}", "tstamp": place / 10, "category": "math"}
        rows += [
            rows[3], rows[4] | {"winner": "draw", "tstamp": None}, rows[5] | {"model_a": None},
            rows[6] | {"model_b": rows[6]["model_a"]}, rows[7] | {"category": None, "tstamp": 9e9},
        ]  # fmt: skip
        path = self.written(tmp_path, rows)
        chosen = Selection(category="math")
        one = rate(read_battles(path, selection=chosen, times=True), method="elo").as_json()
        lines = of(tmp_path, *rows)
        assert (
            one == rate(read_battles(lines, selection=chosen, times=True), method="elo").as_json()
        )
        assert one["dropped"] == {
            "missing_field": 1, "unknown_label": 1, "self_battle": 1, "duplicate": 1,
        }  # fmt: skip
        assert one["not_selected"] == 1

    def test_instants_and_lists_have_types_of_their_own(self, tmp_path):
        rows = [
            SOUND | {"tstamp": datetime(2026, 1, day, tzinfo=UTC), "category": ["math"]}
            for day in (1, 2, 2)
        ]
        since = datetime(2026, 1, 2, tzinfo=UTC).timestamp()
        found = read_battles(
            self.written(tmp_path, rows), selection=Selection(since=since, category="math")
        )
        assert (len(found), found.not_selected, found.dropped) == (1, 1, {"duplicate": 1})

    def test_a_damaged_file_is_refused(self, tmp_path):
        path = tmp_path / "battles.parquet"
        path.write_bytes(b"PAR1 and then nothing")
        with pytest.raises(NoriaError, match="not sound Parquet"):
            read_battles(path)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from([*LABELS, "x", "y"]), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip
FIELDS = st.sampled_from(
    ["model_a", "model_b", "winner", "judge", "tstamp", "id", "category", "propensity"]
)
LINES = st.one_of(
    st.dictionaries(FIELDS, VALUES, max_size=8).map(lambda row: json.dumps(row).encode()),
    st.binary(max_size=30).filter(lambda line: b"\n" not in line and line[:4] != b"PAR1"),
)


@given(st.lists(LINES, max_size=12))
@settings(max_examples=150, deadline=None)
def test_every_line_is_a_battle_or_has_a_reason(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("fuzz") / "battles.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    for options in ({}, {"times": True, "propensity": True, "style": True}):
        found = read_battles(path, **options)
        blank = sum(not line.strip() for line in lines) + (lines[:1] == [b"\xef\xbb\xbf"])
        assert len(found) + sum(found.dropped.values()) == len(lines) - blank
        rate(found)


class TestPeoplesFiles:
    """What the files that people have hold: nothing is dropped that is no duplicate."""

    def test_both_bad_and_timestamps_of_the_140k_set(self):
        rows = [
            {"id": f"id{n}", "model_a": "a", "model_b": "b", "winner": winner,
             "timestamp": f"2025-06-0{n + 1} 10:00:00",
             "conversation_a": [{"role": "assistant", "content": [
                 {"type": "text", "text": "# h", "image": None, "mimeType": None}]}],
             "conversation_b": [{"role": "assistant", "content": [{"type": "text", "text": ""}]}]}
            for n, winner in enumerate(("both_bad", "model_a", "tie", "model_b"))
        ]  # fmt: skip
        since = datetime(2025, 6, 3, tzinfo=UTC).timestamp()
        found = Battles.of(rows, selection=Selection(since=since), style=True)
        assert (len(found), found.not_selected, found.dropped) == (2, 2, {})
        assert rate(rows).both_bad == 1

    @pytest.mark.parametrize("ids", [(0, -1, -2), (0, 1, 2), ("0", 0, "1"), (-1, -2, 2**61 - 1)])
    def test_ids_that_differ_are_no_duplicates(self, ids):
        rows = [SOUND | {"id": one, "tstamp": 5.5} for one in ids]
        found = Battles.of([*rows, rows[0]])
        assert (len(found), found.dropped) == (3, {"duplicate": 1})

    @pytest.mark.parametrize(
        "when", [1690000000, 1690000000.0, "2025-06-01", "2025-06-01T10:00:00"]
    )
    def test_votes_in_the_same_second_or_day_are_no_duplicates(self, when):
        row = SOUND | {"tstamp": when, "judge": "j"}
        assert len(Battles.of([row] * 4)) == 4
        asked = [row | {"question_id": number % 3} for number in range(4)]
        assert Battles.of(asked).dropped == {"duplicate": 1}

    def test_several_judges_of_one_pair_of_answers_all_count(self):
        rows = [SOUND | {"id": "x", "judge": judge} for judge in ("one", "two", "one")]
        found = Battles.of(rows)
        assert (len(found), found.dropped) == (2, {"duplicate": 1})

    @pytest.mark.parametrize(("name", "count"), [("140k", 200), ("qid_sec", 300)])
    def test_the_shared_cases(self, name, count):
        path = Path(__file__).parents[2] / f"../shared/cases/battles/{name}.jsonl"
        if not path.exists():
            pytest.skip("../shared/cases is not beside this checkout")
        found = read_battles(path, times=True)
        assert (len(found), found.dropped) == (count, {})
        board = rate([json.loads(line) for line in path.open()])
        assert name != "qid_sec" or [one.model for one in board.ratings] == ["a", "b"]
