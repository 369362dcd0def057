"""What is asked for at the door, told by a request's path and head: which call, in which dialect,
or what noria does not offer."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote

import orjson

from noria.errors import ApiError
from noria.http.request import HTTPRequest
from noria.models.endpoint import Endpoint

__all__ = ["Asked", "not_offered", "wire_of"]

_CALLS: Final = {
    b"/v1" + endpoint.path: endpoint for endpoint in Endpoint if endpoint is not Endpoint.GENERATE
}
"""The calls of models by their path. Gemini's names the model in it."""

_GENERATE: Final = re.compile(
    r"/v1(?:beta|alpha)?/models/([^/:][^:]*(?::[^:]+)?):"
    r"(generateContent|streamGenerateContent|countTokens)"
)
"""The path of a call in Gemini's dialect, without what is asked for behind `?`. A model's own name
may have one colon."""

_NOT_OFFERED: Final = {
    "responses/compact": "compaction",
    "audio": "audio",
    "files": "files",
    "uploads": "files",
    "batches": "batches",
    "messages/batches": "batches",
    "realtime": "realtime sessions",
    "live": "realtime sessions",
    "images": "images",
    "videos": "videos",
    "moderations": "moderations",
    "fine_tuning": "fine-tuning by this API",
    "assistants": "assistants",
    "threads": "threads",
    "conversations": "conversations of OpenAI's",
    "vector_stores": "vector stores by this API",
    "containers": "containers",
    "skills": "skills",
    "evals": "evaluations by this API",
    "cachedContents": "cached contents",
    "tunedModels": "tuned models",
    "interactions": "interactions",
}
"""By the first part of a path behind its version, what clients would find there."""
_NOT_CALLED: Final = (
    "batchGenerateContent", "embedContent", "batchEmbedContents", "asyncBatchEmbedContent",
    "predict", "predictLongRunning", "generateImages",
)  # fmt: skip
"""What else Gemini's models can be asked for."""
_INSTEAD: Final = {
    "batches": " Evaluations and batches of calls are made with 'noria run' and 'noria eval'.",
    "files": " Documents are indexed with 'noria index'.",
    "fine-tuning by this API": " Models are tuned with 'noria tune'.",
}


class Asked(NamedTuple):
    """Which call of a model a request is."""

    endpoint: Endpoint
    model: str | None = None
    """The model, where the path names it."""
    stream: bool | None = None
    """Whether a stream is wanted, where the path says it."""
    counts: bool = False
    """Whether only the tokens are to be counted."""

    @classmethod
    def of(cls, incoming: HTTPRequest, path: bytes) -> Asked | None:
        """Read it from a request's path; None where it is no call of a model."""
        endpoint = _CALLS.get(path)
        if endpoint is not None:
            return cls(endpoint)
        if path == b"/v1/messages/count_tokens":
            return cls(Endpoint.MESSAGES, counts=True)
        if b"/models/" not in path or incoming.method != b"POST":
            return None
        found = _GENERATE.fullmatch(unquote(path.decode("latin-1")))
        if found is None:
            return None
        method = found[2]
        return cls(
            Endpoint.GENERATE,
            found[1],
            method == "streamGenerateContent",
            counts=method == "countTokens",
        )

    def named(self, raw: bytes) -> bytes:
        """The body with what the path says of the call, as the other dialects have it in there.

        Raises:
            ApiError: 400: it is no JSON object.
        """
        if self.model is None:
            return raw
        rest = raw.strip()
        if not rest.startswith(b"{"):
            raise ApiError(400, "invalid_json", "The request's body is not a JSON object.")
        said = orjson.dumps({"model": self.model, "stream": bool(self.stream)})
        rest = rest[1:].lstrip()
        return said[:-1] + (b"" if rest.startswith(b"}") else b",") + rest


def wire_of(incoming: HTTPRequest, path: bytes) -> str:
    """The dialect that a request is made in."""
    endpoint = _CALLS.get(path)
    if endpoint is not None:
        return endpoint.wire
    if path.startswith((b"/v1beta/", b"/v1alpha/", b"/upload/v1beta/")):
        return "gemini"
    if path.startswith(b"/v1/messages/") or incoming.header(b"anthropic-version") is not None:
        return "messages"
    if path.startswith(b"/v1/models/") and b":" in path and incoming.method == b"POST":
        return "gemini"
    return "chat"


def not_offered(path: bytes) -> ApiError | None:
    """Why there is nothing at a path where clients of an API look for something."""
    text = unquote(path.decode("latin-1"))
    _, _, rest = text.removeprefix("/upload").removeprefix("/ws").partition("/v1")
    if not rest:
        return None
    rest = rest.removeprefix("beta").removeprefix("alpha").strip("/")
    what = _NOT_OFFERED.get("/".join(rest.split("/")[:2])) or _NOT_OFFERED.get(rest.split("/")[0])
    if what is None:
        method = rest.rpartition(":")[2] if rest.startswith("models/") else ""
        if method not in _NOT_CALLED:
            return None
        what = f"{method} in Gemini's dialect"
    return ApiError(404, "not_offered", f"noria does not offer {what}.{_INSTEAD.get(what, '')}")
