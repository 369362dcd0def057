"""Tool calls for a model whose chat template knows none."""

from __future__ import annotations

from noria.models.engine.generation import Chunks, Generate, Tally
from noria.models.engine.requests import ChatRequest

__all__ = ["call_tools"]


def call_tools(call: ChatRequest, generate: Generate, chunks: Chunks) -> Tally:
    raise NotImplementedError
