"""Whoever reads an answer inside noria: `ask`, streams, judges, evaluations, battles, the chat."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from noria.apps import Model
from noria.errors import AnswerError, ApiError
from noria.evals.judge import Judge
from noria.models.completion import Completion, without_thinking
from noria.testing import FakeProvider
from tests.adversarial.conftest import Attack
from tests.adversarial.test_answers import CALLS, USAGE, piece, reply
from tests.adversarial.test_failures import IN_ANSWERS, MIDST
from tests.support.plain import Home
from tests.support.raw import RawProvider, Rule, answer, stream


@pytest.fixture
def ask(home: Home, fake: FakeProvider) -> Any:
    """Makes a model that answers with given bytes."""
    with RawProvider() as raw:
        (home.folder / "noria.toml").write_text(
            f'[providers.raw]\nbase_url = "{raw.url}"\n[routing]\nretries = 0\n'
        )

        def model(given: bytes | Rule, **settings: Any) -> Model:
            raw.answers["m"] = given
            return Model("raw:m", **settings)

        yield model


NO_ANSWERS = {
    "no choices": answer({**reply(), "choices": []}),
    "null choices": answer({**reply(), "choices": None}),
    "a null message": answer({"choices": [{"message": None}]}),
    "a choice that is none": answer({"choices": [None, 7]}),
    **{name: answer(body) for name, body in IN_ANSWERS.items()},
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_what_is_no_answer_is_an_error(ask: Any, name: str) -> None:
    with pytest.raises(ApiError):
        asyncio.run(ask(NO_ANSWERS[name]).ask("Answer.", question="Hi"))


def test_a_refusal_is_given_in_its_words(ask: Any) -> None:
    refusing = answer(reply(None, refusal="I cannot help with that."))
    said = asyncio.run(ask(refusing).ask("Answer.", question="Hi"))
    assert said == "I cannot help with that."
    with pytest.raises(AnswerError, match="I cannot help with that"):
        asyncio.run(ask(refusing).ask("Answer.", question="Hi", returns=int))


def test_text_in_parts_is_text(ask: Any) -> None:
    parts = [{"type": "thinking", "thinking": "hmm"}, {"type": "text", "text": "Four"}]
    assert asyncio.run(ask(answer(reply(parts))).ask("Answer.", question="Hi")) == "Four"


@pytest.mark.parametrize(
    "thought", [{"reasoning_content": "I need it."}, {"reasoning_details": [{"text": "x"}]}]
)
def test_reasoning_goes_back_with_the_calls(ask: Any, thought: dict[str, Any]) -> None:
    """As DeepSeek's thinking mode wants it."""
    (name,) = thought

    def rule(body: dict[str, Any]) -> bytes:
        said = [one for one in body["messages"] if one["role"] == "assistant"]
        if any(one.get(name) != thought[name] for one in said):
            return answer({"error": {"message": f"{name} is missing"}}, 400)
        if said:
            return answer(reply("It is sunny."))
        made = {"id": "a", "type": "function",
                "function": {"name": "weather", "arguments": {"city": "Paris"}}}  # fmt: skip
        return answer(reply("", tool_calls=[made], **thought))

    def weather(city: str) -> str:
        """Tell the weather."""
        return f"sunny in {city}"

    assert asyncio.run(ask(rule).ask("Answer.", question="Hi", tools=[weather])) == "It is sunny."


@pytest.mark.parametrize("name", MIDST)
def test_a_stream_that_fails_says_so(ask: Any, name: str) -> None:
    async def read() -> None:
        async for _ in ask(stream(piece({"content": "Hel"}), MIDST[name])).stream(
            "A", question="Q"
        ):
            pass

    with pytest.raises(ApiError, match="Filtered by policy X"):
        asyncio.run(read())


def test_a_stream_of_odd_pieces_is_text(ask: Any) -> None:
    parts = [{"type": "text", "text": "A"}]
    odd = stream(piece(None), {"choices": None}, piece({"content": parts}),
                 piece({"content": "B"}), piece({"refusal": "C"}), piece(None, "stop"))  # fmt: skip

    async def read() -> str:
        return "".join([said async for said in ask(odd).stream("A", question="Q")])

    assert asyncio.run(read()) == "ABC"


@pytest.mark.parametrize(
    ("said", "finish", "kind", "score"),
    [
        ("Fine.\n[[8]]", "stop", "score", 8),
        ("<think>It could be [[3]] or", "length", "invalid", None),
        ("<think>It could be [[3]] or", "stop", "invalid", None),
        ("<think>It could be [[3]]</think>Good.\n[[9]]", "stop", "score", 9),
        ("Fine.\n[[8]]", "length", "invalid", None),
        ("Fine.\n[[8]]", "MAX_TOKENS", "invalid", None),
        ("Fine.\n[[8]]", "content_filter", "invalid", None),
    ],
)
def test_an_answer_that_was_cut_is_no_verdict(
    said: str, finish: str, kind: str, score: float | None
) -> None:
    async def ask(model: str, messages: Any, options: Any) -> Completion:
        choice = {"message": {"content": said}, "finish_reason": finish}
        return Completion.of({"choices": [choice]})

    (found,) = asyncio.run(Judge("fake:judge").rate([("Q", "A")], ask))
    assert (found.verdict.kind, found.verdict.score) == (kind, score)


def test_a_judge_who_refuses_is_counted_as_such() -> None:
    async def ask(model: str, messages: Any, options: Any) -> Completion:
        return Completion.of({"choices": [{"message": {"content": None, "refusal": "[[8]] no"}}]})

    (found,) = asyncio.run(Judge("fake:judge").rate([("Q", "A")], ask))
    assert found.verdict.kind == "refusal"


def test_thoughts_that_never_end_are_all_there_is() -> None:
    assert without_thinking("<think>a") == ""
    assert without_thinking("<think>a</think>b") == "b"
    assert without_thinking("a <think> b") == "a <think> b"


def test_calls_without_ids_get_their_own() -> None:
    calls = [{"function": {"name": "f", "arguments": {}}}, {"id": "", "function": {"name": "g"}}]
    said = Completion.of({"choices": [{"message": {"tool_calls": calls}}]})
    assert [one["id"] for one in said.tool_calls] == ["call_0", "call_1"]
    assert [one["function"]["arguments"] for one in said.tool_calls] == ["{}", "{}"]


CHATS = {
    "parts": (stream(piece({"content": [{"type": "text", "text": "Ans"}]}),
                     piece({"content": "wer"}, "stop")), 0, "Answer"),
    "nulls": (stream(piece(None), piece({"content": "Answer"}), piece(None, "stop")), 0, "Answer"),
    "an error": (stream(piece({"content": "Ans"}), MIDST["alone"]), 1, "Filtered by policy X"),
    "calls": (stream(*[piece({"tool_calls": [one]}) for one in CALLS["all zero"][0]],
                     piece({"content": "Answer"}, "stop"), {"choices": [], "usage": USAGE}),
              0, "Answer"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHATS)
def test_the_chat_of_the_terminal_reads_it_too(attack: Attack, name: str) -> None:
    given, code, words = CHATS[name]
    model = attack.model(given)
    ran = subprocess.run(
        [sys.executable, "-m", "noria.cli", "chat", model],
        input="Hi", capture_output=True, text=True, cwd=attack.door.folder, timeout=60,
        env={**os.environ, "NORIA_KEY": attack.key},
    )  # fmt: skip
    assert ran.returncode == code
    assert words in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr


ODD = {
    "parts": stream(piece({"content": [{"type": "text", "text": "Hello"}]}, "stop")),
    "a null delta": stream(piece(None), piece({"content": "Hello"}), piece(None, "stop")),
    "null choices": stream({"choices": None}, piece({"content": "Hello"}, "stop")),
}
BROKEN = {
    "an error": stream(MIDST["alone"]),
    "an error as text": answer({"error": "overloaded"}),
    "nothing": stream(),
}


def fight(attack: Attack, given: bytes) -> set[str]:
    """How a battle between two sides that both answer so ends."""
    for name in ("left", "right"):
        attack.raw.answers[name] = given
    with attack.door.client(attack.key) as client:
        battle = client.post("/v1/arena/battles", json={}).json()["id"]
        turn = client.post(f"/v1/arena/battles/{battle}/turns", json={"question": "Hi"})
    lines = [line[5:] for line in turn.text.splitlines() if line.startswith("data:")]
    events = [json.loads(line) for line in lines if "[DONE]" not in line]
    return {event["end"] for event in events if event.get("end")}


@pytest.mark.parametrize("name", ODD)
def test_a_turn_of_the_arena_reads_it_too(attack: Attack, name: str) -> None:
    assert fight(attack, ODD[name]) == {"ok"}


@pytest.mark.parametrize("name", BROKEN)
def test_a_turn_of_the_arena_always_ends(attack: Attack, name: str) -> None:
    assert fight(attack, BROKEN[name]) == {"error"}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_an_evaluation_counts_what_is_no_answer(attack: Attack, name: str, tmp_path: Any) -> None:
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"question_id": 1, "category": "x", "turns": ["Hi"]}\n')
    model = attack.model(NO_ANSWERS[name])
    ran = subprocess.run(
        [sys.executable, "-m", "noria.cli", "eval", "run", str(questions), "--contestants", model,
         "--out", str(tmp_path / "out"), "--json", "--yes"],
        capture_output=True, text=True, cwd=attack.door.folder, timeout=60,
        env={**os.environ, "NORIA_KEY": attack.key},
    )  # fmt: skip
    assert "Traceback" not in ran.stderr
    notes = json.loads(ran.stdout)["notes"]
    assert any("1 answers" in note and "did not come" in note for note in notes), notes
