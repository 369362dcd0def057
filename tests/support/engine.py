"""The engines of the local models, for the tests that call them without the door."""

from __future__ import annotations

import openai

from noria.models.host import EngineHost

__all__ = ["client_of"]


def client_of(host: EngineHost, model: str) -> openai.OpenAI:
    """The `openai` client, pointed at a model's engine."""
    upstream = host.upstream(model)
    assert upstream is not None
    secret = dict(upstream.headers)[b"Authorization"].decode().removeprefix("Bearer ")
    return openai.OpenAI(
        base_url=f"http://127.0.0.1:{upstream.port}/v1", api_key=secret, max_retries=0
    )
