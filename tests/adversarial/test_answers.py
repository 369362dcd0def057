"""Answers as real providers give them: odd, and still answers."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest

from tests.adversarial.conftest import Attack
from tests.support.raw import answer, stream

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
DONE = b"data: [DONE]\n\n"


def piece(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice], **more}


def reply(text: Any = "Hello", usage: Any = USAGE, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, **more}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {"id": "c", "object": "chat.completion", "choices": choices, "usage": usage}


HELLO = [piece({"role": "assistant", "content": ""}), piece({"content": "Hel"}),
         piece({"content": "lo"}), piece({}, "stop"), {"choices": [], "usage": USAGE}]  # fmt: skip
LINES = stream(*HELLO)
BODY = LINES.partition(b"\r\n\r\n")[2]
HEAD = LINES.removesuffix(BODY)

STREAMS = {
    "as it should be": LINES,
    "blank lines": stream(*HELLO, between=b"\n\n\n\n"),
    "a mark of byte order": LINES.replace(b"data: ", b"\xef\xbb\xbfdata: ", 1),
    "a field that nobody knows": LINES.replace(b"data: ", b"x-meta: 1\n\ndata: ", 1),
    "fields beside the data": LINES.replace(b"data: ", b"event: message\nid: 7\nx: y\ndata: "),
    "CR": HEAD + BODY.replace(b"\n", b"\r"),
    "CRLF": HEAD + BODY.replace(b"\n", b"\r\n"),
    "comments and retry": LINES.replace(b"data: ", b": ping\n\nretry: 10\n\ndata: ", 1),
    "no blank after the colon": LINES.replace(b"data: ", b"data:"),
    "an empty event": LINES.replace(b"data: ", b"data:\n\ndata: ", 1),
    "no [DONE]": stream(*HELLO, end=b""),
    "[DONE] twice": stream(*HELLO, end=DONE + DONE),
    "no blank line at the end": stream(*HELLO, end=b"data: [DONE]"),
    "the last event without a blank line": stream(*HELLO, end=b"").rstrip(b"\n"),
    "error: null": stream(*[{**one, "error": None} for one in HELLO]),
    "a delta that is null": stream(piece(None), *HELLO, piece(None)),
    "choices that are null": stream({"choices": None}, *HELLO),
    "an event of another kind": stream({"type": "ping"}, *HELLO),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_is_written_another_way_is_the_same(attack: Attack, name: str) -> None:
    told = attack.ask(STREAMS[name])
    assert told.status == 200
    assert told.asked == 1
    assert told.text == "Hello"
    assert told.span is not None
    assert told.span.status == "ok"
    assert (told.span.input_tokens, told.span.output_tokens) == (10, 5)
    said = "".join(
        choice["delta"].get("content") or ""
        for event in told.events
        for choice in event.get("choices") or ()
        if choice["delta"]
    )
    assert said == "Hello"


def squeezed(body: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(body) + packer.flush()


WHOLE = json.dumps(reply()).encode()
PLAIN = {
    "201": answer(reply(), 201),
    "gzip": answer(gzip.compress(WHOLE), content_encoding="gzip"),
    "deflate": answer(zlib.compress(WHOLE), content_encoding="deflate"),
    "deflate without its head": answer(squeezed(WHOLE, -15), content_encoding="deflate"),
    "identity": answer(reply(), content_encoding="identity"),
    "a mark of byte order": answer(b"\xef\xbb\xbf" + WHOLE),
    "error: null": answer({**reply(), "error": None}),
    "blanks around": answer(b"\n\n " + WHOLE + b"\r\n"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_an_answer_that_is_sent_another_way_is_the_same(attack: Attack, name: str) -> None:
    told = attack.ask(PLAIN[name])
    assert (told.status, told.asked, told.text) == (200, 1, "Hello")
    assert told.body["choices"][0]["message"]["content"] == "Hello"
    assert told.span is not None
    assert (told.span.input_tokens, told.span.output_tokens) == (10, 5)


def test_a_compressed_stream_is_read(attack: Attack) -> None:
    head, _, body = LINES.partition(b"\r\n\r\n")
    told = attack.ask(head + b"\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(body))
    assert told.text == "Hello"


def test_a_bomb_is_no_answer(attack: Attack) -> None:
    bomb = gzip.compress(b" " * (80 * 1024 * 1024))
    told = attack.ask(answer(bomb, content_encoding="gzip"))
    assert (told.status, told.error["code"]) == (502, "upstream_malformed")


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (rb"cut \ud83d", "cut \ufffd"),
        (rb"\ud83d\ude00 whole \\ud83d", "\U0001f600 whole \\ud83d"),
        (b"bytes \xf0\x9f", "bytes \ufffd"),
    ],
)
def test_half_a_character_costs_no_answer(attack: Attack, sent: bytes, read: str) -> None:
    told = attack.ask(answer(WHOLE.replace(b"Hello", sent)))
    assert (told.status, told.text) == (200, read)
    streamed = stream(*HELLO).replace(b"Hel", sent)
    assert attack.ask(streamed).text == read + "lo"


def call(index: Any, identity: Any, name: Any, arguments: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"function": {"name": name, "arguments": arguments}, "type": "function"}
    if index != "none":
        made["index"] = index
    return made | {"id": identity}


CALLS = {
    "an index for each": ([call(0, "a", "f", ""), call(0, None, None, "{}"),
                           call(1, "b", "g", '{"y":2}')],
                          [("a", "f", "{}"), ("b", "g", '{"y":2}')]),
    "all zero": ([call(0, "a", "f", '{"x":1}'), call(0, "b", "g", '{"y":2}')],
                 [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]),
    "empty ids": ([call(0, "a", "f", ""), call(0, "", "", '{"x":'), call(0, "", "", "1}")],
                  [("a", "f", '{"x":1}')]),
    "null indices": ([call(None, "a", "f", '{"x":1}'), call(None, "b", "g", "{}")],
                     [("a", "f", '{"x":1}'), ("b", "g", "{}")]),
    "no indices, in pieces": ([call("none", "a", "f", '{"x"'), call("none", "a", "", ":1}"),
                               call("none", "b", "g", "{}")],
                              [("a", "f", '{"x":1}'), ("b", "g", "{}")]),
    "the id again in each piece": ([call(0, "a", "f", '{"x"'), call(0, "a", None, ":1}")],
                                   [("a", "f", '{"x":1}')]),
    "arguments as an object": ([call(0, "a", "f", {"x": 1})], [("a", "f", '{"x":1}')]),
    "an index far off": ([call(7, "a", "f", "{}")], [("a", "f", "{}")]),
    "an index that is text": ([call("x", "a", "f", "{}")], [("a", "f", "{}")]),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_calls_of_tools_are_told_apart(attack: Attack, name: str) -> None:
    sent, wanted = CALLS[name]
    pieces = [piece({"tool_calls": [one]}) for one in sent]
    told = attack.ask(stream(*pieces, piece({}, "tool_calls"), {"choices": [], "usage": USAGE}))
    calls = told.recorded["choices"][0]["message"]["tool_calls"]
    found = [(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in calls]
    assert found == wanted


def test_text_in_parts_is_kept_with_its_thinking(attack: Attack) -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}]}
    told = attack.ask(
        stream(
            piece({"content": [thinking]}),
            piece({"content": [{"type": "text", "text": "Answer"}]}),
            piece({"content": " 4"}, "stop"),
        )
    )
    message = told.recorded["choices"][0]["message"]
    assert message["content"] == "Answer 4"
    assert message["reasoning_content"] == "hmm"


PLACES = {
    "in a choice": [piece({"content": "x"}), piece({}, "stop")],
    "in x_groq": [piece({"content": "x"}), piece({}, "stop", x_groq={"id": "r", "usage": USAGE})],
}
PLACES["in a choice"][1]["choices"][0]["usage"] = USAGE


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("parts", [1, 50])
def test_usage_is_found_where_it_stands(attack: Attack, name: str, parts: int) -> None:
    first, last = PLACES[name]
    told = attack.ask(stream(*[first] * parts, last))
    assert told.span is not None
    assert (told.span.input_tokens, told.span.output_tokens) == (10, 5)
    assert "usage_estimated" not in told.span.attributes


FIGURES = {
    "floats": ({"prompt_tokens": 10.0, "completion_tokens": 4.5}, (10, 5)),
    "text": ({"prompt_tokens": "10", "completion_tokens": "5"}, (10, 5)),
    "Anthropic's names": ({"input_tokens": 10, "output_tokens": 5}, (10, 5)),
    "cached above the prompt": ({**USAGE, "prompt_tokens_details": {"cached_tokens": 99}}, (10, 5)),
    "cached at the top": ({**USAGE, "cached_tokens": 4}, (10, 5)),
    "a null total": ({**USAGE, "total_tokens": None}, (10, 5)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_in_any_form_are_read(attack: Attack, name: str) -> None:
    usage, (read, made) = FIGURES[name]
    told = attack.ask(answer(reply(usage=usage)), key=attack.paying)
    span = told.span
    assert span is not None
    assert (span.input_tokens, span.output_tokens) == (read, made)
    assert span.cost_nano == (read + made) * 1_000_000
    assert (span.cached_tokens or 0) <= read


@pytest.mark.parametrize("bad", [2**53, 2**63, 10**30, -1, True, [1], {"a": 1}, "ten", 1e300])
@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens", "total_tokens"])
def test_figures_that_cannot_be_true_cost_the_hold(attack: Attack, bad: Any, field: str) -> None:
    told = attack.ask(answer(reply(usage={**USAGE, field: bad})), max_tokens=7, key=attack.paying)
    span = told.span
    assert told.status == 200
    assert span is not None
    assert span.attributes["usage_estimated"] is True
    assert 7_000_000 < span.cost_nano < 400_000_000  # the prompt's bytes and seven tokens
    assert 0 < (span.input_tokens or 0) < 1000
    log = attack.door.log()
    assert "Traceback" not in log


def test_nonsense_in_details_costs_nothing_more(attack: Attack) -> None:
    details = {"cached_tokens": [1], "reasoning_tokens": -5, "cache_write_tokens": 2**60}
    usage = {**USAGE, "prompt_tokens_details": details, "completion_tokens_details": details,
             "compute_ms": -3}  # fmt: skip
    told = attack.ask(answer(reply(usage=usage)))
    assert told.span is not None
    assert told.span.cost_nano == 15_000_000


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning": "word "},
        {"reasoning_content": "word "},
        {"refusal": "word "},
        {"function_call": {"arguments": "word "}},
        {"tool_calls": [{"index": 0, "function": {"arguments": "word "}}]},
        {"content": [{"type": "thinking", "thinking": "word "}]},
    ],
)
def test_all_that_was_generated_is_charged_without_usage(
    attack: Attack, delta: dict[str, Any]
) -> None:
    told = attack.ask(stream(*[piece(delta)] * 40, piece({}, "stop")))
    assert told.span is not None
    assert told.span.output_tokens is not None
    assert 40 <= told.span.output_tokens <= 60
