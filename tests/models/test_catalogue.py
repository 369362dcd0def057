"""Which models there are, and on what terms."""

from __future__ import annotations

from pathlib import Path

import pytest

from noria.config import Config, load
from noria.errors import ApiError, ConfigError
from noria.models.catalogue import Catalogue
from noria.models.prices import ComputePrice
from noria.types import Label, Usage


def configured(folder: Path, text: str) -> Config:
    (folder / "noria.toml").write_text(text)
    return load(cwd=folder, environ={})


@pytest.fixture
def plain(tmp_path: Path) -> Config:
    return configured(tmp_path, "")


def test_a_known_provider_needs_only_its_key(plain: Config) -> None:
    (target,) = Catalogue(plain, {"OPENAI_API_KEY": "sk-1"}).resolve("openai:gpt-4o-mini").targets
    assert (target.provider, target.model) == ("openai", "gpt-4o-mini")
    assert target.upstream.tls
    assert (target.upstream.host, target.upstream.port) == ("api.openai.com", 443)
    assert target.upstream.prefix == "/v1"
    assert (b"Authorization", b"Bearer sk-1") in target.upstream.headers
    assert target.price is not None
    assert target.price.cost(Usage(input_tokens=1_000_000)) == 150_000_000
    assert target.capabilities.context == 128_000


def test_a_provider_without_its_key_says_which(plain: Config) -> None:
    with pytest.raises(ApiError, match="GROQ_API_KEY") as refused:
        Catalogue(plain, {}).resolve("groq:llama-3.3-70b-versatile")
    assert (refused.value.status, refused.value.code) == (503, "provider_key_missing")


def test_a_provider_from_the_file(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        """
        [providers.acme]
        base_url = "http://127.0.0.1:9000/v1/"
        api_key_env = "ACME_KEY"
        clearance = "internal"
        headers = { "X-Team" = "search" }
        concurrency = 4
        prompt_allowance = 9
        [prices."acme:big"]
        input = 2.0
        output = 8.0
        """,
    )
    catalogue = Catalogue(config, {"ACME_KEY": "k"})
    (target,) = catalogue.resolve("acme:big").targets
    upstream = target.upstream
    assert (upstream.tls, upstream.host, upstream.port, upstream.prefix) == (
        False, "127.0.0.1", 9000, "/v1",
    )  # fmt: skip
    assert dict(upstream.headers) == {b"X-Team": b"search", b"Authorization": b"Bearer k"}
    assert target.clearance is Label.INTERNAL
    assert (target.concurrency, target.allowance) == (4, 9)
    assert target.price is not None
    assert target.price.cost(Usage(output_tokens=1_000_000)) == 8 * 10**9
    assert catalogue.resolve("acme:other").targets[0].price is None


def test_a_route_keeps_order_and_weights_and_leaves_out_targets_without_key(
    tmp_path: Path,
) -> None:
    config = configured(
        tmp_path,
        """
        [models.default]
        targets = ["openai:gpt-4o-mini", "groq:x", "local:smollm2"]
        weights = [1, 5, 2]
        hedge_seconds = 3
        """,
    )
    route = Catalogue(config, {"OPENAI_API_KEY": "k"}).resolve("default")
    assert [target.name for target in route.targets] == ["openai:gpt-4o-mini", "local:smollm2"]
    assert route.weights == (1, 2)
    assert route.hedge_seconds == 3


def test_a_local_model_costs_its_computing_and_may_see_everything(tmp_path: Path) -> None:
    config = configured(tmp_path, '[prices."local:smollm2"]\ncompute_hour = 0.36\n')
    catalogue = Catalogue(config, {})
    (target,) = catalogue.resolve("local:smollm2").targets
    assert target.local
    assert target.clearance is Label.RESTRICTED
    for name in ("ollama:llama3", "vllm:llama3"):  # which may ask a server elsewhere
        assert catalogue.resolve(name).targets[0].clearance is Label.PUBLIC
    assert target.price == ComputePrice(100_000)
    assert catalogue.resolve("local:minilm").targets[0].price == ComputePrice(0)
    embedding = catalogue.resolve("local:minilm").targets[0].capabilities
    assert (embedding.chat, embedding.embeddings) == (False, True)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("smollm2", "local:smollm2"),
        ("local:smolm2", "local:smollm2"),
        ("opnai:gpt-4o", "openai"),
        ("openai:", "openai:MODEL"),
        ("nothing-like-it", "provider:model"),
    ],
)
def test_an_unknown_model_says_near_names(plain: Config, name: str, near: str) -> None:
    with pytest.raises(ApiError) as unknown:
        Catalogue(plain, {}).resolve(name)
    assert (unknown.value.status, unknown.value.code) == (404, "model_not_found")
    assert near in unknown.value.message


def test_a_route_to_nowhere_is_a_mistake_in_the_file(tmp_path: Path) -> None:
    config = configured(tmp_path, '[models.default]\ntargets = ["acmee:big"]\n')
    with pytest.raises(ConfigError, match=r"models\.default\.targets.*acmee"):
        Catalogue(config, {})


def test_names_are_routes_and_local_models(tmp_path: Path) -> None:
    config = configured(tmp_path, '[models.default]\ntargets = ["local:smollm2"]\n')
    assert Catalogue(config, {}).names()[:2] == ["default", "local:smollm2"]
