"""The hosted and self-hosted servers that noria knows by name. All of them speak OpenAI's wire.

Any other is four lines under `[providers.NAME]` in `noria.toml`, which also replaces one of these.
"""

from __future__ import annotations

from dataclasses import dataclass

from noria.config import Provider

__all__ = ["KNOWN", "KnownProvider"]


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """A server that needs no setting but a key."""

    base_url: str
    api_key_env: str | None
    """The environment variable under which everybody keeps this key; None where none is needed."""
    price_list: str | None
    """The provider's id in `genai-prices`; None for servers on this machine, which are free."""

    @property
    def settings(self) -> Provider:
        """The same as a section of the configuration. What stays here may see everything."""
        return Provider.model_validate(
            {
                "base_url": self.base_url,
                "api_key_env": self.api_key_env,
                "clearance": "public" if self.price_list else "restricted",
            }
        )


KNOWN = {
    "openai": KnownProvider("https://api.openai.com/v1", "OPENAI_API_KEY", "openai"),
    "anthropic": KnownProvider("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", "anthropic"),
    "gemini": KnownProvider(
        "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY", "google"
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
