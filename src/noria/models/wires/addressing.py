"""Where a call goes at clouds that serve other makers' models: Azure, Vertex AI and Bedrock."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

__all__ = ["azure_path", "converse_path", "vertex_host", "vertex_path"]

_AZURE: Final = {
    "chat": "/chat/completions",
    "responses": "/responses",
    "embeddings": "/embeddings",
}
_PUBLISHERS: Final = (("claude", "anthropic"), ("gemini", "google"))
_MULTI_REGIONS: Final = ("us", "eu")


def azure_path(call: str, deployment: str, api_version: str | None) -> str:
    """The path of a call of Azure OpenAI.

    Args:
        call: `chat`, `responses` or `embeddings`.
        deployment: the name that the model was deployed under.
        api_version: such as `2024-10-21`, whose paths name the deployment; None for the paths of
            `/openai/v1`, which take it as the body's `model`.
    """
    path = _AZURE[call]
    if api_version is None:
        return f"/openai/v1{path}"
    version = f"?api-version={quote(api_version, safe='')}"
    if call == "responses":  # these have never named a deployment
        return f"/openai{path}{version}"
    return f"/openai/deployments/{quote(deployment, safe='')}{path}{version}"


def vertex_host(location: str) -> str:
    """The host of Vertex AI for a location: a region, `us` or `eu` for all of them, or `global`."""
    if location == "global":
        return "aiplatform.googleapis.com"
    if location in _MULTI_REGIONS:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"


def vertex_path(project: str, location: str, model: str, *, stream: bool) -> str:
    """The path of a call of Vertex AI. Claude is spoken to in Anthropic's Messages, which then
    have `anthropic_version` in the body in place of `model`; all others in `generateContent`.

    Args:
        project: the project's id.
        location: as in `vertex_host`.
        model: such as `gemini-3-pro` or `claude-sonnet-5@20260203`, or `publisher/model`.
        stream: whether the answer is to be a stream.
    """
    publisher, _, name = model.rpartition("/")
    if not publisher:
        publisher = next((who for start, who in _PUBLISHERS if name.startswith(start)), "google")
    if publisher == "anthropic":
        method = "streamRawPredict" if stream else "rawPredict"
    else:
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    where = f"/v1/projects/{quote(project, safe=':')}/locations/{quote(location, safe='')}"
    return f"{where}/publishers/{quote(publisher, safe='')}/models/{quote(name, safe='@')}:{method}"


def converse_path(model: str, *, stream: bool) -> str:
    """The path of a call of Bedrock's Converse.

    Args:
        model: a model's id, an inference profile's, or the ARN of either.
        stream: whether the answer is to be a stream.
    """
    return f"/model/{quote(model, safe='')}/{'converse-stream' if stream else 'converse'}"
