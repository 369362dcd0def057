"""The hosted and self-hosted servers that noria knows by name. All of them speak OpenAI's chat
wire, and some another beside.

Any other is four lines under `[providers.NAME]` in `noria.toml`, which also replaces one of these,
or comes with a plugin.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from noria.config import Config, PriceOverride, Provider
from noria.errors import ConfigError

__all__ = ["KNOWN", "AddedProvider", "KnownProvider", "Providers", "maker_of"]

log = logging.getLogger("noria.models")


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """A server that needs no setting but a key."""

    base_url: str
    api_key_env: str | None
    """The environment variable under which everybody keeps this key; None where none is needed."""
    price_list: str | None
    """The provider's id in `genai-prices`; None for servers on this machine, which are free."""
    natives: Mapping[str, str] = field(default_factory=dict)
    """What else it speaks: by wire, where the paths of that begin."""

    @property
    def settings(self) -> Provider:
        """The same as a section of the configuration. A server on this machine is cleared for no
        more than any other: it may well ask one elsewhere."""
        return Provider(base_url=self.base_url, api_key_env=self.api_key_env)


@dataclass(frozen=True, slots=True)
class AddedProvider:
    """A server that a plugin knows: what `[providers.NAME]` and `[prices."NAME:MODEL"]` would say.

        def register(registry):
            registry.providers.add("acme", AddedProvider(Provider(base_url=...), {"big": ...}))

    What the file says of the same provider or model wins.
    """

    settings: Provider
    prices: Mapping[str, PriceOverride] = field(default_factory=dict)
    """By model. One that is not here cannot be used under a money budget."""


KNOWN = {
    "openai": KnownProvider(
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        "openai",
        {"responses": "https://api.openai.com/v1"},
    ),
    "anthropic": KnownProvider(
        "https://api.anthropic.com/v1",
        "ANTHROPIC_API_KEY",
        "anthropic",
        {"messages": "https://api.anthropic.com/v1"},
    ),
    "gemini": KnownProvider(
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        "google",
        {"gemini": "https://generativelanguage.googleapis.com/v1beta"},
    ),
    "groq": KnownProvider("https://api.groq.com/openai/v1", "GROQ_API_KEY", "groq"),
    "mistral": KnownProvider("https://api.mistral.ai/v1", "MISTRAL_API_KEY", "mistral"),
    "deepseek": KnownProvider("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", "deepseek"),
    "xai": KnownProvider("https://api.x.ai/v1", "XAI_API_KEY", "x-ai"),
    "together": KnownProvider("https://api.together.xyz/v1", "TOGETHER_API_KEY", "together"),
    "fireworks": KnownProvider(
        "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY", "fireworks"
    ),
    "openrouter": KnownProvider("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", "openrouter"),
    "cerebras": KnownProvider("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", "cerebras"),
    "perplexity": KnownProvider("https://api.perplexity.ai", "PERPLEXITY_API_KEY", "perplexity"),
    "moonshot": KnownProvider("https://api.moonshot.ai/v1", "MOONSHOT_API_KEY", "moonshotai"),
    "cohere": KnownProvider("https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY", "cohere"),
    "ollama": KnownProvider("http://127.0.0.1:11434/v1", None, None),
    "vllm": KnownProvider("http://127.0.0.1:8000/v1", None, None),
    "llamacpp": KnownProvider("http://127.0.0.1:8080/v1", None, None),
    "lmstudio": KnownProvider("http://127.0.0.1:1234/v1", None, None),
}

_MAKERS: Final = tuple(
    (re.compile(pattern), provider)
    for pattern, provider in (
        (r"claude-", "anthropic"),
        (r"(?:chatgpt|gpt|codex|text-embedding)-|o[134](?:-|$)", "openai"),
        (r"gemini-", "gemini"),
        (r"(?:mistral|ministral|magistral|codestral|devstral|pixtral)-", "mistral"),
        (r"deepseek-(?:chat|reasoner)$", "deepseek"),
        (r"grok-", "xai"),
        (r"command-", "cohere"),
        (r"sonar(?:-|$)", "perplexity"),
    )
)
"""Whose a model is, where its name alone tells and its maker serves it. `gpt-oss` is anybody's."""


def maker_of(model: str) -> str | None:
    """The provider of a model that is asked for by its bare name; None where it is not plain."""
    if model.startswith("gpt-oss"):
        return None
    return next((provider for known, provider in _MAKERS if known.match(model)), None)


class Providers:
    """Every provider that a model's name can begin with, but `local`, and the prices that were set.

    The file's win over noria's own, and those over a plugin's. Plugins are asked when nobody else
    knows a name, so that they cost nothing where they are not used.
    """

    def __init__(self, config: Config) -> None:
        own = {name: provider.settings for name, provider in KNOWN.items()}
        self._settings = own | config.providers
        self.prices = dict(config.prices)
        self.broken: list[str] = []
        """Plugins that could not be loaded."""
        self._asked_plugins = False

    def find(self, name: str) -> Provider | None:
        """The settings of a provider; None for `local`, which is none.

        Raises:
            ConfigError: a plugin has added what is no provider.
        """
        if name == "local":
            return None
        if name not in self._settings and not self._asked_plugins:
            self._asked_plugins = True
            self._ask_plugins()
        return self._settings.get(name)

    def names(self) -> list[str]:
        """The names that are known by now."""
        return list(self._settings)

    def _ask_plugins(self) -> None:
        from noria.plugins import registry

        plugins = registry()
        for plugin, why in plugins.broken.items():
            log.warning("The plugin %s could not be loaded: %s", plugin, why)
        self.broken = list(plugins.broken)
        for name in plugins.providers:
            added = plugins.providers.find(name)
            if not isinstance(added, AddedProvider) or name == "local" or ":" in name:
                raise ConfigError(
                    f"A plugin has added the provider {name!r}, which cannot be used: {added!r}.",
                    "It must be an AddedProvider, called neither local nor by a name with a colon.",
                )
            self._settings.setdefault(name, added.settings)
            for model, price in added.prices.items():
                self.prices.setdefault(f"{name}:{model}", price)
