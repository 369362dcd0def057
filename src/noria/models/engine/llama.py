"""The embedded engine: llama.cpp's server inside this process, through `xllamacpp`."""

from __future__ import annotations

import base64
import math
import os
import re
import secrets
import struct
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
    """A GGUF model, chatting or embedding, and the adapters (LoRA) that stand on it.

    A request names an adapter as its model. All adapters are loaded with the base, at a scale of
    0; the library takes them at load only, so one that was registered later has the model loaded
    again beside the calls under way.
    """

    def __init__(
        self,
        name: str,
        weights: Path,
        capabilities: Capabilities,
        *,
        parallel: int,
        threads: int,
        adapters: Callable[[], dict[str, Path]] = dict,
    ) -> None:
        """Load a model.

        Args:
            name: what answers call the model.
            weights: a GGUF file.
            capabilities: its `context` is that of each of the `parallel` calls.
            parallel: calls that are answered at the same time; more wait their turn.
            threads: of computing.
            adapters: says which adapters there are now, and where their files lie.

        Raises:
            EngineError: the file cannot be loaded.
        """
        self.name = name
        self.capabilities = capabilities
        self._weights = weights
        self._parallel = parallel
        self._threads = threads
        self._find_adapters = adapters
        self._secret = secrets.token_urlsafe(32)
        self._busy = 0
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._loaded = self._load(adapters() if capabilities.chat else {})

    def _load(self, adapters: dict[str, Path]) -> _Loaded:
        """Load the model with these adapters.

        Raises:
            EngineError: one of the files cannot be loaded.
        """
        import xllamacpp

        context = self.capabilities.context or 2048
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(self._weights)
        parameters.n_parallel = self._parallel
        parameters.n_ctx = context * self._parallel
        parameters.cpuparams.n_threads = self._threads
        parameters.cpuparams_batch.n_threads = self._threads
        if adapters:
            parameters.lora_adapters = [
                xllamacpp.CommonAdapterLoraInfo(str(path), 0.0) for path in adapters.values()
            ]
        # The library's cache of idle prompts does not know which adapter computed them; that of
        # the slots does.
        parameters.cache_ram_mib = 0 if adapters else _PROMPT_CACHE_MIB
        parameters.verbosity = 1  # errors
        # The library opens a port of its own, which nobody else is to use.
        parameters.api_keys = [self._secret]
        parameters.ui = False
        parameters.endpoint_slots = False
        if self.capabilities.embeddings:
            parameters.embedding = True
            parameters.n_batch = parameters.n_ubatch = context
        try:
            server = xllamacpp.Server(parameters)
        except RuntimeError as problem:
            raise EngineError(f"{self._weights} cannot be loaded: {problem}") from None
        return _Loaded(server, {name: _state_of(path) for name, path in adapters.items()})

    def _under(self, model: str) -> tuple[_Loaded, list[dict[str, Any]]]:
        """What is loaded, and which adapter a request for `model` is answered under.

        Raises:
            ApiError: 404, there is no such adapter on this model.
        """
        loaded = self._loaded
        if model != self.name:
            with self._loading:
                found = self._find_adapters()
                if model not in found:
                    raise ApiError(
                        404, "model_not_found", f"{self.name} has no adapter {model!r}.",
                        param="model",
                    )  # fmt: skip
                if self._loaded.adapters.get(model) != _state_of(found[model]):
                    self._loaded = self._load(found)
                loaded = self._loaded
        return loaded, [
            {"id": number, "scale": float(name == model)}
            for number, name in enumerate(loaded.adapters)
        ]

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
        model = str(request.get("model") or self.name)
        chunks = Chunks(model, emit, call.candidates)
        with self._working():
            loaded, adapters = self._under(model)

            def generate(body: dict[str, Any], take: Emit) -> Tally:
                body = body | {"lora": adapters} if adapters else body
                return self._generate(loaded.server, body, take)

            if call.tools and call.choice != "none":
                tally = call_tools(call, generate, chunks)
            else:
                body = call.body(conversation(call), n=call.n, **call.shape)
                tally = generate(body, chunks.relay)
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
            reply = _checked(self._call(self._loaded.server.handle_embeddings, {"input": texts}))
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

    def tokens(self, text: str) -> list[int]:
        """A text's tokens."""
        reply = self._ask("/tokenize", {"content": text, "parse_special": True})
        return [int(token) for token in reply["tokens"]]

    def rendered(self, messages: list[dict[str, Any]]) -> str:
        """The prompt that the chat template makes of a conversation."""
        call = ChatRequest.read({"messages": messages})
        reply = self._ask("/apply-template", {"messages": conversation(call)})
        return str(reply["prompt"])

    def candidates(self, tokens: list[int], count: int) -> dict[int, float]:
        """The likeliest next tokens after `tokens`, with their probabilities."""
        # Probabilities are those before sampling; for an end of text the library lists none.
        body = {
            "prompt": tokens, "n_predict": 1, "n_probs": count, "cache_prompt": True,
            "temperature": 0, "ignore_eos": True,
        }  # fmt: skip
        reply = _checked(self._call(self._loaded.server.handle_completions, body))
        (place,) = reply["choices"][0]["logprobs"]["content"]
        return {one["id"]: math.exp(one["logprob"]) for one in place["top_logprobs"]}

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask the library's own server, for what it has no function for."""
        import httpx2

        headers = {"Authorization": f"Bearer {self._secret}"}
        address = self._loaded.server.listening_address
        reply = httpx2.post(f"{address}{path}", json=body, headers=headers, timeout=30.0)
        reply.raise_for_status()
        found: dict[str, Any] = reply.json()
        return found

    def health(self) -> Health:
        return Health(ready=True, busy=self._busy)

    def _generate(self, server: Any, body: dict[str, Any], take: Emit) -> Tally:
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

        self._call(server.handle_chat_completions, body, on_chunk)
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


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A server of the library and the adapters that it holds, by name, in its own order."""

    server: Any
    adapters: dict[str, tuple[str, int]]


def _state_of(path: Path) -> tuple[str, int]:
    """What tells one state of a file from another."""
    try:
        return str(path), path.stat().st_mtime_ns
    except FileNotFoundError:
        return str(path), 0


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
