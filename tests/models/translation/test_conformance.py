"""What every wire must do: say again what it has read, whole and as a stream, however it is cut."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.errors import ApiError
from noria.models.translation import READERS, WIRES, WRITERS
from noria.models.translation.form import Event, Form, Part, Tool, Turn
from noria.models.wire import events as data_of_events
from noria.models.wires.eventstream import EventStreamDecoder
from noria.types import Usage

BOTH_WAYS = tuple(READERS)
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
words = st.text("abcXYZ_", min_size=1, max_size=8)
values = st.dictionaries(text, text | st.integers(-9, 9) | st.lists(text, max_size=2), max_size=3)
SAID_AS = {
    ("chat", "sequence"): "stop", ("responses", "sequence"): "stop",
    ("gemini", "sequence"): "stop", ("gemini", "filter"): "filter",
}  # fmt: skip
"""What a wire has no word of its own for."""


def pieces_of(whole: str, cuts: list[int]) -> list[str]:
    bounds = [0, *sorted({cut % (len(whole) + 1) for cut in cuts}), len(whole)]
    return [whole[a:b] for a, b in itertools.pairwise(bounds) if a < b]


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    found = [Event("thinking", piece) for piece in draw(st.lists(text, max_size=2))]
    found += [Event("text", piece) for piece in draw(st.lists(text, max_size=4))]
    calls = draw(st.lists(st.tuples(words, values, st.lists(st.integers(0, 99))), max_size=3))
    for number, (name, given_, cuts) in enumerate(calls):
        found.append(Event("call", "", number, f"call_{number}", name))
        arguments = orjson.dumps(given_).decode()
        found += [Event("arguments", piece, number) for piece in pieces_of(arguments, cuts)]
    reasons = ["calls"] if calls else ["stop", "length", "filter", "sequence"]
    found.append(Event("stop", draw(st.sampled_from(reasons))))
    if draw(st.booleans()):
        used, made = draw(st.integers(1, 10**6)), draw(st.integers(1, 10**6))
        found.append(Event("usage", usage=Usage(used, made, draw(st.integers(0, used)))))
    return found


def summed(said: list[Event]) -> dict[str, Any]:
    """An answer, whatever pieces it came in."""
    whole: dict[str, Any] = {"text": "", "thinking": "", "calls": [], "stop": None, "usage": None}
    for event in said:
        if event.kind in ("text", "thinking"):
            whole[event.kind] += event.text
        elif event.kind == "call":
            whole["calls"].append([event.id, event.name, ""])
        elif event.kind == "arguments":
            whole["calls"][event.number][2] += event.text
        elif event.kind == "stop":
            assert whole["stop"] is None
            whole["stop"] = event.text
        elif event.kind == "usage":
            whole["usage"] = event.usage
    for call in whole["calls"]:
        call[2] = orjson.loads(call[2] or "{}")
    return whole


def expected(wire: str, said: list[Event]) -> dict[str, Any]:
    whole = summed(said)
    whole["stop"] = SAID_AS.get((wire, whole["stop"]), whole["stop"])
    return whole


def read_stream(wire: str, data: bytes) -> list[Event]:
    reader = READERS[wire]()
    found: list[Event] = []
    if wire == "converse":
        for message in EventStreamDecoder().feed(data):
            found += reader.feed({message.kind: orjson.loads(message.payload)})
    else:
        for event in data_of_events(data):
            found += reader.feed(orjson.loads(event))
    return [*found, *reader.end()]


def written(wire: str, said: list[Event]) -> bytes:
    writer = WRITERS[wire]("m")
    return b"".join(map(writer.feed, said)) + writer.end()


@pytest.mark.parametrize("wire", BOTH_WAYS)
@given(said=answers())
def test_a_whole_answer_is_read_as_it_was_written(wire: str, said: list[Event]) -> None:
    reply = orjson.loads(orjson.dumps(WIRES[wire].write_reply(said, "m")))
    got, want = summed(WIRES[wire].read_reply(reply)), expected(wire, said)
    if want["usage"] is None:
        got["usage"] = None  # Messages has to say something.
    assert got == want


@pytest.mark.parametrize("wire", BOTH_WAYS)
@given(said=answers())
def test_a_stream_is_read_as_it_was_written(wire: str, said: list[Event]) -> None:
    got = summed(read_stream(wire, written(wire, said)))
    want = expected(wire, said)
    if want["usage"] is None:
        got["usage"] = None  # Messages has to say something: what it has counted itself.
    assert got == want


@pytest.mark.parametrize("wire", BOTH_WAYS)
@given(said=answers(), order=st.randoms(use_true_random=False))
def test_calls_that_are_written_at_once_are_told_apart(
    wire: str, said: list[Event], order: Any
) -> None:
    heads = [event for event in said if event.kind == "call"]
    queues = [[one for one in said if one.kind == "arguments" and one.number == head.number]
              for head in heads]  # fmt: skip
    mixed = [event for event in said if event.kind in ("thinking", "text")] + heads
    while waiting := [queue for queue in queues if queue]:
        mixed.append(order.choice(waiting).pop(0))
    mixed += [event for event in said if event.kind in ("stop", "usage")]
    got, want = summed(read_stream(wire, written(wire, mixed))), expected(wire, said)
    assert (got["calls"], got["text"], got["stop"]) == (want["calls"], want["text"], want["stop"])


@pytest.mark.parametrize("wire", BOTH_WAYS)
@given(said=answers())
def test_nothing_waits_in_a_stream_whose_parts_are_in_order(wire: str, said: list[Event]) -> None:
    writer = WRITERS[wire]("m")
    for event in said:
        out = writer.feed(event)
        if event.kind in ("text", "thinking"):
            assert out


@st.composite
def forms(draw: st.DrawFn) -> Form:
    turns = [Turn("system", [Part("text", draw(text))])] if draw(st.booleans()) else []
    turns.append(Turn("user", [Part("text", draw(text))]))
    names = draw(st.lists(words, max_size=3, unique=True))
    for number, name in enumerate(names):
        arguments = orjson.dumps(draw(values)).decode()
        call = Part("call", arguments, id=f"call_{number}", name=name)
        turns.append(Turn("assistant", [Part("text", draw(text)), call]))
        result = Part("result", id=f"call_{number}", parts=[Part("text", draw(text))])
        turns.append(Turn("user", [result]))
    form = Form(turns)
    form.tools = [
        Tool(name, draw(text), {"type": "object", "properties": {"a": {"type": "string"}}})
        for name in names
    ]
    if names:
        form.choice = draw(st.sampled_from([None, "auto", "required", f"={names[0]}"]))
    form.limit = draw(st.integers(1, 10**5))
    form.temperature = draw(st.none() | st.sampled_from([0, 0.5, 1]))
    form.top_p = draw(st.none() | st.sampled_from([0.1, 1.0]))
    return form


def told(form: Form) -> dict[str, Any]:
    """A request as it is told in any wire: turns of one side that follow each other are one."""
    parts = [
        (turn.role, part.kind, part.text if part.kind != "call" else orjson.loads(part.text),
         part.id, [one.text for one in part.parts])
        for turn in form.turns for part in turn.parts
    ]  # fmt: skip
    tools = [(tool.name, tool.description, tool.schema) for tool in form.tools]
    chosen = (form.choice or "auto") if form.tools else None
    return {
        "parts": parts, "tools": tools, "choice": chosen, "limit": form.limit,
        "temperature": form.temperature, "top_p": form.top_p,
    }  # fmt: skip


@pytest.mark.parametrize("wire", BOTH_WAYS)
@given(form=forms())
def test_a_request_is_read_as_it_was_written(wire: str, form: Form) -> None:
    fields = orjson.loads(orjson.dumps(WIRES[wire].write_request(form, "m")))
    assert told(WIRES[wire].read_request(fields)) == told(form)


@pytest.mark.parametrize(("wire", "other"), [*itertools.permutations(BOTH_WAYS, 2)])
@given(form=forms())
def test_a_request_is_the_same_by_way_of_another_wire(wire: str, other: str, form: Form) -> None:
    through = WIRES[other].read_request(WIRES[other].write_request(form, "m"))
    fields = WIRES[wire].write_request(through, "m")
    assert told(WIRES[wire].read_request(fields)) == told(form)


IMAGE = Part("image", data="aGk=", media="image/png")
DOCUMENT = Part("document", data="aGk=", media="application/pdf", name="report")


@pytest.mark.parametrize("wire", BOTH_WAYS)
@pytest.mark.parametrize("part", [IMAGE, DOCUMENT], ids=lambda part: part.kind)
def test_images_and_documents_arrive(wire: str, part: Part) -> None:
    form = Form([Turn("user", [Part("text", "Look."), part])], limit=9)
    got = WIRES[wire].read_request(WIRES[wire].write_request(form, "m")).turns[-1].parts[-1]
    assert (got.kind, got.data, got.media) == (part.kind, part.data, part.media)


@pytest.mark.parametrize("wire", ["messages", "responses"])
def test_sound_is_refused_by_name_where_it_cannot_be_heard(wire: str) -> None:
    form = Form([Turn("user", [Part("audio", data="aGk=", media="audio/wav")])])
    with pytest.raises(ApiError, match="audio") as refusal:
        WIRES[wire].write_request(form, "m")
    assert (refusal.value.status, refusal.value.code) == (400, "cannot_be_translated")


@pytest.mark.parametrize("wire", ["messages", "converse"])
def test_thinking_goes_back_to_who_signed_it(wire: str) -> None:
    thought = Part("thinking", "Hm.", signature="c2ln")
    hidden = Part("redacted", data="eHg=")
    form = Form([Turn("user", [Part("text", "?")]), Turn("assistant", [thought, hidden])], limit=9)
    got = WIRES[wire].read_request(WIRES[wire].write_request(form, "m")).turns[-1].parts
    assert got == [thought, hidden]
    unsigned = replace(form, turns=[form.turns[0], Turn("assistant", [Part("thinking", "Hm.")])])
    assert len(WIRES[wire].write_request(unsigned, "m")["messages"]) == 1


@pytest.mark.parametrize("wire", ["responses", "gemini", "chat"])
def test_thinking_of_another_maker_is_left_out_with_a_note(wire: str) -> None:
    form = Form([Turn("assistant", [Part("thinking", "Hm.", signature="c2ln"), Part("text", "!")])])
    assert b"c2ln" not in orjson.dumps(WIRES[wire].write_request(form, "m"))
    assert any("thinking" in note for note in form.notes)


@pytest.mark.parametrize("kept", ["5m", "1h"])
@pytest.mark.parametrize("wire", BOTH_WAYS)
def test_cache_marks_are_set_again_or_noted(wire: str, kept: str) -> None:
    form = Form([Turn("user", [Part("text", "Long.", cached=kept)])], limit=9)
    again = WIRES[wire].read_request(WIRES[wire].write_request(form, "m"))
    if wire in ("messages", "converse"):
        assert again.turns[0].parts[0].cached == kept
        assert not form.notes
    else:
        assert any("cache marks" in note for note in form.notes)


@pytest.mark.parametrize(
    ("name", "value"), [("top_k", 5), ("seed", 7), ("effort", "high"), ("user", "u1")]
)
@pytest.mark.parametrize("wire", BOTH_WAYS)
def test_what_is_not_sent_is_noted(wire: str, name: str, value: Any) -> None:
    form = Form([Turn("user", [Part("text", "?")])], limit=20_000)
    before = WIRES[wire].write_request(form, "m")
    form = replace(form, notes=[], **{name: value})
    assert WIRES[wire].write_request(form, "m") != before or form.notes
