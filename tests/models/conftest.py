"""The real engine process behind its host, started once for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from noria.config import Config
from noria.models.host import EngineHost
from tests.support.engine import client_of


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
