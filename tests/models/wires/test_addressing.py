"""Where calls go at Azure, Vertex AI and Bedrock."""

from __future__ import annotations

import pytest

from noria.models.wires.addressing import azure_path, converse_path, vertex_host, vertex_path


@pytest.mark.parametrize(
    ("call", "version", "path"),
    [
        (
            "chat",
            "2024-10-21",
            "/openai/deployments/my%2Fgpt/chat/completions?api-version=2024-10-21",
        ),
        (
            "embeddings",
            "2024-10-21",
            "/openai/deployments/my%2Fgpt/embeddings?api-version=2024-10-21",
        ),
        ("responses", "preview", "/openai/responses?api-version=preview"),
        ("chat", None, "/openai/v1/chat/completions"),
        ("responses", None, "/openai/v1/responses"),
    ],
)
def test_azure(call: str, version: str | None, path: str) -> None:
    assert azure_path(call, "my/gpt", version) == path


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_vertex_hosts(location: str, host: str) -> None:
    assert vertex_host(location) == host


@pytest.mark.parametrize(
    ("model", "stream", "end"),
    [
        ("gemini-3-pro", False, "google/models/gemini-3-pro:generateContent"),
        ("gemini-3-pro", True, "google/models/gemini-3-pro:streamGenerateContent?alt=sse"),
        ("claude-sonnet-5@20260203", False, "anthropic/models/claude-sonnet-5@20260203:rawPredict"),
        ("claude-opus-5", True, "anthropic/models/claude-opus-5:streamRawPredict"),
        ("zai-org/glm-5", False, "zai-org/models/glm-5:generateContent"),
        ("a/../b", False, "a%2F../models/b:generateContent"),
    ],
)
def test_vertex_paths(model: str, stream: bool, end: str) -> None:
    path = vertex_path("proj-1", "global", model, stream=stream)
    assert path == f"/v1/projects/proj-1/locations/global/publishers/{end}"


def test_bedrock_paths_hold_whole_arns() -> None:
    assert converse_path("amazon.nova-lite-v1:0", stream=False) == (
        "/model/amazon.nova-lite-v1%3A0/converse"
    )
    arn = "arn:aws:bedrock:eu-central-1:1:inference-profile/x"
    assert converse_path(arn, stream=True).endswith("inference-profile%2Fx/converse-stream")
