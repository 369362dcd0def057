"""What an answer gives away: that it names its author, or that it refuses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["names_itself", "refuses"]

# Makers and families that a model says it is, by a word of its name. A contestant is asked only
# about what its own name holds: "palm" in an answer of another model gives nothing away.
_KIN = {
    "gpt": ("gpt", "chatgpt", "openai"),
    "o1": ("openai", "chatgpt"),
    "o3": ("openai", "chatgpt"),
    "claude": ("claude", "anthropic"),
    "gemini": ("gemini", "google", "deepmind"),
    "gemma": ("gemma", "google", "deepmind"),
    "palm": ("palm", "google", "bard"),
    "llama": ("llama", "meta ai"),
    "mistral": ("mistral", "mistral ai"),
    "mixtral": ("mixtral", "mistral ai"),
    "qwen": ("qwen", "alibaba", "tongyi"),
    "deepseek": ("deepseek",),
    "grok": ("grok", "xai"),
    "command": ("cohere",),
    "phi": ("phi", "microsoft"),
    "smollm2": ("smollm", "smollm2", "hugging face"),
    "vicuna": ("vicuna", "lmsys"),
    "alpaca": ("alpaca",),
    "koala": ("koala",),
    "gorilla": ("gorilla",),
    "yi": ("01.ai",),
}
# Words of names that are ordinary words or say nothing about the author.
_COMMON = {
    "local", "chat", "instruct", "large", "small", "mini", "nano", "pro", "flash", "turbo", "base",
    "fast", "big", "latest", "preview", "default", "cheap", "model", "openai", "app", "support",
    "the", "and", "fake", "test", "command", "phi", "medium", "high", "low", "best", "new", "old",
}  # fmt: skip

_REFUSALS = re.compile(
    r"""
    \b(?:
        i(?:['’]m|\ am)\ (?:sorry|afraid),?\ (?:but\ )?(?:i|that|this|as)\b
      | i\ (?:can(?:['’]t|not)|can\ not|won['’]t|will\ not|am\ (?:not\ able|unable)\ to
           |['’]m\ (?:not\ able|unable)\ to)\ (?:\w+\ ){0,2}?
           (?:help|assist|provide|answer|comply|fulfil|fulfill|discuss|engage|do\ that|create|write
             |generate|produce|support|participate)
      | i(?:['’]m|\ am)\ (?:not\ able|unable)\ to\ (?:help|assist|provide|answer|comply|fulfil|do)
      | as\ an?\ (?:ai|artificial\ intelligence|language)\b[^.]{0,60}
           \b(?:can(?:['’]t|not)|unable|not\ able|do\ not\ have|don['’]t\ have)
      | i\ (?:must|have\ to)\ (?:decline|refuse)
      | (?:it\ is|it['’]s)\ (?:not\ appropriate|inappropriate)\ for\ me
    )""",
    re.I | re.X,
)
# A refusal stands at the beginning; deep in an answer the same words are about something else.
_HEAD = 300


def names_itself(contestant: str, answers: Sequence[str]) -> str | None:
    """The word by which a contestant gives itself away in its own answers; None where it does not.

    Whole words only, whatever their case: "palm tree" is not PaLM for any other contestant, and
    "opalmine" is not for PaLM itself.
    """
    pattern = _own_words(contestant)
    if pattern is None:
        return None
    for answer in answers:
        if found := pattern.search(answer):
            return found[0]
    return None


def refuses(answer: str) -> bool:
    """Whether an answer declines instead of answering, as its opening words tell."""
    return not answer.strip() or _REFUSALS.search(answer[:_HEAD]) is not None


@lru_cache(maxsize=1000)
def _own_words(contestant: str) -> re.Pattern[str] | None:
    words = {word for word in re.split(r"[^a-z0-9.]+", contestant.lower()) if len(word) > 1}
    own = {contestant.lower(), contestant.lower().partition(":")[2]} - {""} - _COMMON
    for word in words:
        stem = re.match(r"[a-z]+", word)
        for name in {word, stem[0] if stem else word}:
            own.update(_KIN.get(name, ()))
        if word not in _COMMON and not re.fullmatch(r"[\d.]+[a-z]?", word):
            own.add(word)
    if not own:
        return None
    longest_first = sorted(own, key=lambda word: (-len(word), word))
    return re.compile(
        r"(?<![\w-])(?:" + "|".join(map(re.escape, longest_first)) + r")(?![\w-])", re.I
    )
