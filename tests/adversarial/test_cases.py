"""The answers of `../shared/cases`, where they are present: each gives the value that is right."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.adversarial.conftest import Attack, Told

WIRE = Path(__file__).parents[3] / "shared" / "cases" / "wire"


def hello(told: Told) -> bool:
    return told.status == 200 and told.text == "Hello" and told.asked == 1


def failed(status: int, asked: int, *words: str) -> Any:
    def check(told: Told) -> bool:
        said = " ".join(str(told.error[name]) for name in ("code", "message"))
        assert told.span is not None
        assert told.span.status == "error"
        return (told.status, told.asked) == (status, asked) and all(word in said for word in words)

    return check


def calls(*wanted: tuple[str, str, str]) -> Any:
    def check(told: Told) -> bool:
        made = told.recorded["choices"][0]["message"]["tool_calls"]
        found = [(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in made]
        return found == list(wanted)

    return check


RIGHT = {
    "200-error": failed(502, 3, "overloaded"),
    "200-nochoices": lambda told: told.status == 200,
    "201": lambda told: (told.status, told.asked, told.text) == (200, 1, "made"),
    "blank3": hello,
    "bom": hello,
    "content-parts-stream": lambda told: told.text == "Answer 4",
    "delta-null": lambda told: told.text == "Hello there, I am fine.",
    "err-402": failed(402, 1, "requires more credits"),
    "err-403-moderation": failed(403, 1, "Your input was flagged"),
    "err-429-long": failed(429, 1, "daily limit"),
    "err-429-quota": failed(429, 1, "insufficient_quota", "exceeded your current quota"),
    "err-fastapi": failed(422, 1, "Field required"),
    "err-gemini": failed(400, 1, "function call turn", "INVALID_ARGUMENT"),
    "err-mistral": failed(400, 1, "Expected last role", "3230"),
    "err-mistral422": failed(422, 1, "Extra inputs are not permitted"),
    "gzip": lambda told: (told.status, told.asked) == (200, 1),
    "judge-trunc-think": lambda told: told.status == 200,
    "reasoning": lambda told: told.text == "Four",
    "ref-only": lambda told: told.status == 200,
    "sse-error-choices": failed(200, 1, "disconnected unexpectedly"),
    "sse-error-first": failed(400, 1, "Failed to call a function", "tool_use_failed"),
    "sse-error-mid": failed(200, 1, "Content was filtered by policy X", "content_filter"),
    "sse-error-null": hello,
    "surrogate-plain": lambda told: told.text == "cut \ufffd",
    "tc-allzero": calls(("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')),
    "tc-emptyid": calls(("a", "f", '{"x":1}')),
    "tc-index-null": calls(("a", "f", '{"x":1}')),
    "unknown-field": hello,
    "usage-in-choice": lambda told: (
        (told.span.input_tokens, told.span.output_tokens) == (1000, 500)
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_case_gives_what_is_right(attack: Attack, name: str) -> None:
    file = WIRE / f"{name}.http"
    if not file.exists():
        assert os.environ.get("CI") != "true", f"{file} is missing"
        pytest.skip("the cases are kept beside the checkout, in ../shared/cases")
    assert RIGHT[name](attack.ask(file.read_bytes()))
