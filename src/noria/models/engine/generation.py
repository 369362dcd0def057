"""The pieces of an answer on their way from the library to the client."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from noria.models.engine.protocol import Emit

__all__ = ["Chunks", "Generate", "Tally"]


@dataclass(slots=True)
class Tally:
    """What generations used. Prompts of one request are counted once, at the longest."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    compute_ms: float = 0.0

    def add(self, chunk: dict[str, Any]) -> bool:
        """Take in the figures of a chunk; True when it holds nothing else.

        The library sends one such chunk per choice.
        """
        timings = chunk.get("timings") or {}
        usage = chunk.get("usage")
        if not usage:
            return False
        self.prompt_tokens = max(self.prompt_tokens, usage["prompt_tokens"])
        cached = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
        self.cached_tokens = max(self.cached_tokens, cached)
        self.completion_tokens += usage["completion_tokens"]
        self.compute_ms += timings.get("prompt_ms", 0.0) + timings.get("predicted_ms", 0.0)
        return not chunk.get("choices")

    def __iadd__(self, other: Tally) -> Tally:
        self.prompt_tokens = max(self.prompt_tokens, other.prompt_tokens)
        self.cached_tokens = max(self.cached_tokens, other.cached_tokens)
        self.completion_tokens += other.completion_tokens
        self.compute_ms += other.compute_ms
        return self


Generate = Callable[[dict[str, Any], Emit], Tally]
"""Runs one generation: takes the library's request and hands on its chunks."""


FINGERPRINT = "noria"
"""What OpenAI's `system_fingerprint` is here: the engine has one build."""


class Chunks:
    """Writes the `chat.completion.chunk`s of one answer."""

    def __init__(self, model: str, emit: Emit, candidates: int) -> None:
        """Write to `emit` in the name of `model`, with so many `top_logprobs` for each token."""
        self._emit = emit
        self._candidates = candidates
        self._head = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": FINGERPRINT,
            "usage": None,
        }
        self.stopped = False

    def relay(self, chunk: dict[str, Any]) -> bool:
        """Pass on a chunk of the library under this answer's name."""
        return self._send([self._tidied(choice) for choice in chunk["choices"]])

    def delta(self, index: int, delta: dict[str, Any], finish: str | None = None) -> bool:
        """Send a piece of choice `index`; true when the client wants no more."""
        return self._send(
            [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]
        )

    def usage(self, tally: Tally) -> None:
        """Send the figures, which end the answer."""
        self._emit(
            self._head
            | {
                "choices": [],
                "usage": {
                    "prompt_tokens": tally.prompt_tokens,
                    "completion_tokens": tally.completion_tokens,
                    "total_tokens": tally.prompt_tokens + tally.completion_tokens,
                    "prompt_tokens_details": {"cached_tokens": tally.cached_tokens},
                    "compute_ms": round(tally.compute_ms, 3),
                },
            }
        )

    def _send(self, choices: list[dict[str, Any]]) -> bool:
        self.stopped = self._emit(self._head | {"choices": choices}) or self.stopped
        return self.stopped

    def _tidied(self, choice: dict[str, Any]) -> dict[str, Any]:
        delta, logprobs = choice["delta"], choice.get("logprobs")
        if "role" in delta and delta.get("content") is None:
            delta = {"role": "assistant", "content": "", "refusal": None}
        if logprobs:
            # Of a character that took several tokens, the library tells the last one only.
            for entry in logprobs["content"]:
                del entry["top_logprobs"][self._candidates :]
        return {
            "index": choice["index"],
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": choice.get("finish_reason"),
        }
