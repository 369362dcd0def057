"""An answer that names its author, and one that refuses."""

from __future__ import annotations

import pytest

from noria.evals.arena.language import language_of
from noria.evals.arena.leaks import names_itself, refuses


@pytest.mark.parametrize(
    ("contestant", "answer", "word"),
    [
        ("google:palm-2", "As PaLM, I can help.", "PaLM"),
        ("google:palm-2", "Ask Bard, made by Google.", "Bard"),
        ("anthropic:claude-sonnet-4-5", "I'm Claude.", "Claude"),
        ("openai:gpt-4o-mini", "I am ChatGPT, a large language model.", "ChatGPT"),
        ("local:smollm2", "My name is SmolLM, by Hugging Face.", "SmolLM"),
        ("acme:wizard-70b", "I, Wizard, say so.", "Wizard"),
    ],
)
def test_a_contestant_that_names_itself_is_noticed(contestant: str, answer: str, word: str) -> None:
    assert names_itself(contestant, ["Hello.", answer]) == word


@pytest.mark.parametrize(
    ("contestant", "answer"),
    [
        ("openai:gpt-4o", "A palm tree grows by the sea."),
        ("google:palm-2", "The napalm attacks, and palmistry."),
        ("openai:gpt-4o", "Unlike Claude by Anthropic, I will not tell."),
        ("google:gemini-pro", "This is a pro tip about flash memory."),
        ("support@cheap", "A cheap app with good support."),
        ("meta:llama-3-8b", "An 8b resistor and 3 ohms"),
        ("openai:o1", "open source, o10 and foo1"),
    ],
)
def test_other_words_and_other_names_give_nothing_away(contestant: str, answer: str) -> None:
    assert names_itself(contestant, [answer]) is None


@pytest.mark.parametrize(
    "answer",
    [
        "", "   \n", "I'm sorry, but I can't help with that.", "I cannot assist with this request.",
        "As an AI language model, I do not have opinions.", "I’m unable to provide that.",
        "I must decline to answer.", "I am sorry, I cannot answer this.", "I won't help you do it.",
    ],
)  # fmt: skip
def test_refusals_and_silence_are_known(answer: str) -> None:
    assert refuses(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "The capital is Paris.",
        "Sorry seems to be the hardest word, as the song says.",
        "You can't divide by zero.",
        "To apologise, write: I regret what happened. " * 20 + "I cannot help with that.",
        "I can help with that: first, open the file.",
        "Write: 'Unfortunately the shop can't deliver.'",
    ],
)
def test_answers_are_not_refusals(answer: str) -> None:
    assert not refuses(answer)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What is the capital of France, and why was it chosen?", "en"),
        ("Wie heißt die Hauptstadt von Frankreich, und warum?", "de"),
        ("Quelle est la capitale de la France, et pourquoi ?", "fr"),
        ("Hi", ""),
        ("2 + 2 = ?", ""),
    ],
)
def test_the_language_of_a_question_is_told_where_there_are_words(text: str, language: str) -> None:
    assert language_of(text) == language
