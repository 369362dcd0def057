"""The real engine process behind its host, started once for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import openai
import pytest

from noria.config import Config
from noria.models.host import EngineHost

Connect = Callable[[str], openai.OpenAI]


def client_of(host: EngineHost, model: str) -> openai.OpenAI:
    """The `openai` client, pointed at a model's engine."""
    upstream = host.upstream(model)
    assert upstream is not None
    secret = dict(upstream.headers)[b"Authorization"].decode().removeprefix("Bearer ")
    return openai.OpenAI(
        base_url=f"http://127.0.0.1:{upstream.port}/v1", api_key=secret, max_retries=0
    )


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineHost]:
    host = EngineHost(Config(home=tmp_path_factory.mktemp("home")))
    host.start()
    yield host
    host.stop()


@pytest.fixture(scope="session")
def smollm2(host: EngineHost) -> openai.OpenAI:
    return client_of(host, "smollm2")


@pytest.fixture(scope="session")
def minilm(host: EngineHost) -> openai.OpenAI:
    return client_of(host, "minilm")
