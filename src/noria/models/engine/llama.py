"""The embedded engine: llama.cpp's server inside this process, through `xllamacpp`."""

from __future__ import annotations

import base64
import os
import re
import secrets
import struct
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from noria.errors import ApiError, EngineError
from noria.models.catalogue import Capabilities
from noria.models.chunks import join
from noria.models.engine.generation import Chunks, Tally
from noria.models.engine.protocol import Emit, Engine, Health
from noria.models.engine.requests import ChatRequest, bad
from noria.models.engine.tools import call_tools, conversation

# With two threads on a busy machine OpenMP's spinning is ten times slower. It reads this when the
# library is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__all__ = ["LlamaEngine", "default_threads"]

_PROMPT_CACHE_MIB = 256
"""Prompts of earlier conversations that are kept for their next turn."""


def default_threads() -> int:
    """One thread on two cores or fewer, else half the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // 2)


class LlamaEngine(Engine):
    """A GGUF model, chatting or embedding."""

    def __init__(
        self, name: str, weights: Path, capabilities: Capabilities, *, parallel: int, threads: int
    ) -> None:
        """Load a model.

        Args:
            name: what answers call the model.
            weights: a GGUF file.
            capabilities: its `context` is that of each of the `parallel` calls.
            parallel: calls that are answered at the same time; more wait their turn.
            threads: of computing.

        Raises:
            EngineError: the file cannot be loaded.
        """
        import xllamacpp

        self.name = name
        self.capabilities = capabilities
        self._busy = 0
        self._lock = threading.Lock()
        context = capabilities.context or 2048
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(weights)
        parameters.n_parallel = parallel
        parameters.n_ctx = context * parallel
        parameters.cpuparams.n_threads = threads
        parameters.cpuparams_batch.n_threads = threads
        parameters.cache_ram_mib = _PROMPT_CACHE_MIB
        parameters.verbosity = 1  # errors
        # The library opens a port of its own, which nobody is to use.
        parameters.api_keys = [secrets.token_urlsafe(32)]
        parameters.ui = False
        parameters.endpoint_slots = False
        if capabilities.embeddings:
            parameters.embedding = True
            parameters.n_batch = parameters.n_ubatch = context
        try:
            self._server = xllamacpp.Server(parameters)
        except RuntimeError as problem:
            raise EngineError(f"{weights} cannot be loaded: {problem}") from None

    def chat(self, request: dict[str, Any], stopped: Callable[[], bool]) -> dict[str, Any]:
        chunks: list[dict[str, Any]] = []

        def keep(chunk: dict[str, Any]) -> bool:
            chunks.append(chunk)
            return stopped()

        self.stream(request, keep)
        return join(chunks)

    def stream(self, request: dict[str, Any], emit: Emit) -> None:
        if not self.capabilities.chat:
            raise bad(f"{self.name} makes embeddings; it does not chat.", "model")
        call = ChatRequest.read(request)
        chunks = Chunks(str(request.get("model") or self.name), emit, call.candidates)
        with self._working():
            if call.tools and call.choice != "none":
                tally = call_tools(call, self._generate, chunks)
            else:
                body = call.body(conversation(call), n=call.n, **call.shape)
                tally = self._generate(body, chunks.relay)
        chunks.usage(tally)

    def embed(self, request: dict[str, Any]) -> dict[str, Any]:
        if not self.capabilities.embeddings:
            raise bad(f"{self.name} chats; it makes no embeddings.", "model")
        texts = _inputs(request.get("input"))
        form = request.get("encoding_format") or "float"
        if form not in ("float", "base64"):
            raise bad("encoding_format must be float or base64.", "encoding_format")
        if request.get("dimensions") is not None:
            raise bad(f"{self.name} cannot shorten its embeddings.", "dimensions")
        with self._working():
            started = time.perf_counter()
            reply = _checked(self._call(self._server.handle_embeddings, {"input": texts}))
            elapsed = time.perf_counter() - started
        data = [
            {
                "object": "embedding",
                "index": entry["index"],
                "embedding": _packed(entry["embedding"])
                if form == "base64"
                else entry["embedding"],
            }
            for entry in reply["data"]
        ]
        tokens = int(reply["usage"]["prompt_tokens"])
        return {
            "object": "list",
            "data": data,
            "model": str(request.get("model") or self.name),
            "usage": {
                "prompt_tokens": tokens,
                "total_tokens": tokens,
                "compute_ms": round(elapsed * 1000, 3),
            },
        }

    def health(self) -> Health:
        return Health(ready=True, busy=self._busy)

    def _generate(self, body: dict[str, Any], take: Emit) -> Tally:
        """Run one generation of the library and hand on its chunks.

        Raises:
            ApiError: the library refuses the request.
        """
        tally = Tally()
        refused: list[ApiError] = []

        def on_chunk(chunk: dict[str, Any]) -> bool:
            try:
                _checked(chunk)
            except ApiError as error:
                refused.append(error)
                return True
            if tally.add(chunk):
                return False
            return take(chunk)

        self._call(self._server.handle_chat_completions, body, on_chunk)
        if refused:
            raise refused[0]
        return tally

    @staticmethod
    def _call(handle: Callable[..., Any], *arguments: Any) -> Any:
        """Call the library. What it raises for a request that it cannot serve becomes a 400."""
        try:
            return handle(*arguments)
        except (ValueError, RuntimeError) as problem:
            reason = str(problem).rpartition("parser generation failed: ")[2]
            raise bad(f"The model cannot take this request: {reason}") from None

    @contextmanager
    def _working(self) -> Iterator[None]:
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1


def _checked(reply: dict[str, Any]) -> dict[str, Any]:
    """Raise the error that the library gives back in place of an answer."""
    error = reply.get("error")
    if not isinstance(error, dict):
        return reply
    message = str(error.get("message", "the engine failed"))
    if error.get("type") == "exceed_context_size_error":
        size, limit = error.get("n_prompt_tokens"), error.get("n_ctx")
        raise bad(
            f"This model's maximum context length is {limit} tokens, and the prompt has {size}.",
            "messages",
            code="context_length_exceeded",
        )
    if "too large to process" in message:
        raise bad(f"One of the inputs is too long: {message}.", "input", "context_length_exceeded")
    code = error.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    raise ApiError(status, "engine_error" if status >= 500 else "invalid_value", message)


def _inputs(value: Any) -> list[Any]:
    """Texts to embed: one, or a list of them, or one or several lists of token ids."""
    texts = [value] if isinstance(value, str) or _tokens(value) else value
    if not isinstance(texts, list) or not texts:
        raise bad("input must be a text or a list of texts.", "input")
    for text in texts:
        if not _tokens(text) and not (isinstance(text, str) and text):
            raise bad("input must be texts that are not empty, or lists of token ids.", "input")
    if len(texts) > 2048:
        raise bad("input holds more than 2048 texts.", "input")
    return [text if _tokens(text) else _spelled_out(text) for text in texts]


def _spelled_out(text: str) -> str:
    """Hangul syllables as their letters: the WordPiece models were trained on those, and the
    library takes apart accented letters only. Half a surrogate pair is refused."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise bad("input holds half of a surrogate pair, which is no text.", "input") from None
    return _HANGUL.sub(lambda syllables: unicodedata.normalize("NFD", syllables[0]), text)


_HANGUL = re.compile("[\uac00-\ud7a3]+")


def _tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(one) is int for one in value)


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
