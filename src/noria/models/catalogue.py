"""Which models there are, where each is reached, and on what terms.

A model is named `provider:model`, split at the first colon; a name without a provider is a route
of `noria.toml`. `Catalogue.resolve` turns either into a `Route`: targets with address, headers,
price and limits, all looked up once and then kept.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from noria.config import Config, Provider
from noria.errors import ApiError, ConfigError
from noria.models.local import LocalModel
from noria.models.own import LocalModels
from noria.models.prices import (
    ComputePrice,
    Price,
    Rates,
    TokenPrice,
    listed_price,
    overridden_price,
)
from noria.models.providers import KNOWN, Providers, maker_of
from noria.models.reply_limits import reply_limit
from noria.types import Label

__all__ = [
    "CLAUDE_ALIAS",
    "UNLISTED",
    "Capabilities",
    "Catalogue",
    "EngineDirectory",
    "Route",
    "Target",
    "Upstream",
    "local_capabilities",
]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do. For a hosted model this is what is assumed, not measured."""

    chat: bool = True
    embeddings: bool = False
    tools: bool = True
    json_schema: bool = True
    vision: bool = True
    context: int | None = None
    """Tokens of prompt and reply together, where it is known."""


class Upstream(NamedTuple):
    """A server, and what is spoken to it. Requests go to `prefix` + the path of its wire.

    A tuple: each call finds the server's connections by it, and a tuple is hashed in C.
    """

    tls: bool
    host: str
    port: int
    prefix: str
    headers: tuple[tuple[bytes, bytes], ...]
    usage_in_stream: bool
    """Whether the server accepts `stream_options.include_usage`."""
    wire: str = "chat"
    """What it speaks, by the name that `[providers.NAME] wire` has for it."""


@dataclass(frozen=True, slots=True)
class Target:
    """One model at one provider."""

    name: str
    provider: str
    model: str
    upstream: Upstream
    price: Price | None
    """None where nobody knows it: such a model cannot be used under a money budget."""
    clearance: Label
    """The highest label of what may be sent there."""
    local: bool
    """Answered by an embedded engine of this machine."""
    allowance: int
    """Prompt tokens that the server may add to what is sent (a chat template, say)."""
    image_allowance: int | None
    """The most tokens that one image can cost; None where nobody knows."""
    audio_allowance: int | None
    """The same for one piece of sound."""
    capabilities: Capabilities
    concurrency: int | None
    rpm: int | None
    label: Label = Label.PUBLIC
    """The highest label of what it learned from: a caller's clearance must reach it."""
    reply_limit: int | None = None
    """The most tokens that it writes in one reply; None where nobody knows."""
    hides_reasoning: bool = False
    """Whether it generates, and charges for, tokens that no stream shows."""
    others: tuple[Upstream, ...] = ()
    """Where it is reached by other wires than `upstream`'s."""

    def speaking(self, wire: str) -> Upstream:
        """Where it is reached for a caller of a wire: by the same, where it speaks that."""
        if self.upstream.wire != wire:
            for other in self.others:
                if other.wire == wire:
                    return other
        return self.upstream


@dataclass(frozen=True, slots=True)
class Route:
    """What a name stands for: targets in the order in which they are tried."""

    name: str
    targets: tuple[Target, ...]
    weights: tuple[float, ...] | None = None
    hedge_seconds: float | None = None
    record_content: bool | None = None
    """None leaves it to the other settings."""
    label: Label = Label.PUBLIC
    """The highest of the targets' labels: a caller's clearance must reach it."""

    @property
    def foreign(self) -> bool:
        """Whether one of the targets does not speak OpenAI's chat."""
        return any(target.speaking("chat").wire != "chat" for target in self.targets)


class EngineDirectory(Protocol):
    """Knows where the embedded engines listen."""

    def upstream(self, model: str) -> Upstream | None:
        """The address of a local model's engine; None while no server runs on this home."""


_NOT_RUNNING = Upstream(False, "127.0.0.1", 0, "/v1", (), usage_in_stream=True)
_FREE = TokenPrice((Rates(0, 0, 0, 0, 0, 0),))
CLAUDE_ALIAS = "claude/"
"""Claude Code lists the models of a gateway whose names have "claude" in them, and no others."""
UNLISTED = "(unlisted)"
"""The one name in sums of all models that there are not."""
_HIDES_REASONING = re.compile(r"(?:^|[/.])(?:o[134](?:-|$)|gpt-5(?!\S*-chat)|codex)")
_CREDENTIALS = {"messages": ("x-api-key", "{}"), "gemini": ("x-goog-api-key", "{}")}
"""How a key is shown, where that is not as a bearer token."""
_MOST_REMEMBERED = 10_000
"""Names of hosted models, which callers make up as they like."""
_TEMPLATE_TOKENS = 256
"""What our engine adds at most to a prompt: chat template, system prompt, tool instructions."""


class Catalogue:
    """All models that this configuration can reach."""

    def __init__(
        self,
        config: Config,
        environ: Mapping[str, str] = os.environ,
        engines: EngineDirectory | None = None,
    ) -> None:
        """Check the routes; look nothing up yet.

        Raises:
            ConfigError: a route names a target that cannot exist.
        """
        self._config = config
        self._environ = environ
        self._engines = engines
        self._providers = Providers(config)
        self._routes: dict[str, Route] = {}
        self._targets: dict[str, Target] = {}
        self.local = LocalModels(config)
        for route, settings in config.models.items():
            for target in settings.targets:
                if (problem := self._problem(target)) is not None:
                    raise ConfigError(f"{config.source}: models.{route}.targets: {problem}")

    def names(self) -> list[str]:
        """The routes of `noria.toml` and the embedded models.

        Hosted models are not listed: every `provider:model` of a known provider can be asked.
        """
        return [*self._config.models, *(f"local:{model}" for model in self.local)]

    def counted_as(self, name: str) -> str | None:
        """The name in sums of calls of a model that came to nothing; None for its own. Callers can
        make up names of hosted models without end, which are one name for each provider."""
        if name in self._config.prices or name in self._config.models or name in self.names():
            return None
        return f"{name.partition(':')[0]}:{UNLISTED}"

    def full_name(self, name: str) -> str:
        """The name of a model that was asked for by another: a well-known one without its
        provider (`gpt-5.4`, `models/gemini-3-pro`), or one that a client lists only because it
        begins with `claude/`."""
        if name in self._config.models:
            return name
        name = name.removeprefix("models/").removeprefix(CLAUDE_ALIAS)
        if ":" in name or name in self._config.models:
            return name
        provider = maker_of(name)
        return f"{provider}:{name}" if provider is not None else name

    def resolve(self, name: str) -> Route:
        """Find what a name stands for. The first call for a hosted model reads the price table.

        Raises:
            ApiError: 404 `model_not_found` (says near names), 503 `provider_key_missing`.
        """
        route = self._routes.get(name)
        if route is None:
            route = self._make_route(name)
            # A model of the home can be removed or made anew at any time.
            if all(self._stays(target) for target in route.targets):
                if len(self._routes) >= _MOST_REMEMBERED:
                    self._routes.clear()
                self._routes[name] = route
        return route

    def target(self, name: str) -> Target:
        """The target `provider:model`, whether its provider's key is set or not.

        Raises:
            ApiError: 404 `model_not_found`.
        """
        target = self._targets.get(name)
        if target is None:
            if (problem := self._problem(name)) is not None:
                raise ApiError(404, "model_not_found", problem, param="model")
            if len(self._targets) >= _MOST_REMEMBERED:
                self._targets.clear()
            provider, model = name.split(":", 1)
            settings = self._providers.find(provider)
            target = (
                self._make_target(name, provider, model, settings)
                if settings is not None
                else self._make_local(name, provider, model)
            )
            if self._stays(target):
                self._targets[name] = target
        return target

    def _stays(self, target: Target) -> bool:
        return not target.local or self.local.fixed(target.model)

    def label_of(self, name: str) -> Label:
        """The highest label of what a model learned from; public where nothing is known of it."""
        try:
            return self.resolve(name).label if name.startswith("local:") else Label.PUBLIC
        except ApiError:
            return Label.PUBLIC

    def missing_key(self, target: Target) -> str | None:
        """The environment variable that the target's provider needs and that is not set."""
        provider = self._providers.find(target.provider)
        variable = provider.api_key_env if provider else None
        return variable if variable and not self._environ.get(variable) else None

    def _make_route(self, name: str) -> Route:
        settings = self._config.models.get(name)
        names = settings.targets if settings else [name]
        targets = [self.target(one) for one in names]
        usable = [i for i, target in enumerate(targets) if self.missing_key(target) is None]
        if not usable:
            variable = self.missing_key(targets[0])
            raise ApiError(
                503,
                "provider_key_missing",
                f"{targets[0].provider} needs a key: set {variable} where noria is started.",
            )
        chosen = tuple(targets[i] for i in usable)
        label = max(target.label for target in chosen)
        if settings is None:
            return Route(name, chosen, label=label)
        weights = tuple(settings.weights[i] for i in usable) if settings.weights else ()
        return Route(
            name,
            chosen,
            weights if any(weights) else None,
            settings.hedge_seconds,
            settings.record_content,
            label,
        )

    def _make_local(self, name: str, provider: str, model: str) -> Target:
        override = self._providers.prices.get(name)
        card = self.local[model]
        found = self._engines.upstream(card.base or model) if self._engines else None
        return Target(
            name,
            provider,
            model,
            upstream=found or _NOT_RUNNING,
            price=overridden_price(override) if override else ComputePrice(),
            clearance=Label.RESTRICTED,
            local=True,
            allowance=_TEMPLATE_TOKENS,
            image_allowance=None,
            audio_allowance=None,
            capabilities=local_capabilities(card, self._config.engines.context),
            concurrency=None,
            rpm=None,
            label=card.label,
            reply_limit=min(card.context, self._config.engines.context),
        )

    def _make_target(self, name: str, provider: str, model: str, settings: Provider) -> Target:
        override = self._providers.prices.get(name)
        known = KNOWN.get(provider)
        price: Price | None = None
        context: int | None = None
        if known and known.price_list:
            price, context = listed_price(known.price_list, model)
        elif known and provider not in self._config.providers:
            price = _FREE
        embedding = "embed" in model
        upstream, *others = self._reach(settings)
        if known and provider not in self._config.providers:
            for wire, base in known.natives.items():
                others += self._reach(settings.model_copy(update={"wire": wire, "base_url": base}))
        return Target(
            name,
            provider,
            model,
            upstream=upstream,
            price=overridden_price(override) if override else price,
            clearance=settings.clearance,
            local=False,
            allowance=settings.prompt_allowance,
            image_allowance=settings.image_allowance,
            audio_allowance=settings.audio_allowance,
            capabilities=Capabilities(chat=not embedding, embeddings=embedding, context=context),
            concurrency=settings.concurrency,
            rpm=settings.rpm,
            reply_limit=settings.reply_limit or reply_limit(model, context),
            hides_reasoning=_HIDES_REASONING.search(model) is not None,
            others=tuple(others),
        )

    def _reach(self, provider: Provider) -> list[Upstream]:
        """Where a provider is reached, by each wire that it speaks."""
        url = urlsplit(provider.base_url)
        tls = url.scheme == "https"
        key = self._environ.get(provider.api_key_env or "")
        found = []
        for wire in provider.wires:
            headers = dict(provider.headers)
            if key:
                name, said = _CREDENTIALS.get(wire, ("Authorization", "Bearer {}"))
                headers[name] = said.format(key)
            found.append(
                Upstream(
                    tls=tls,
                    host=url.hostname or "",
                    port=url.port or (443 if tls else 80),
                    prefix=url.path.rstrip("/"),
                    headers=tuple(
                        (k.encode("ascii"), v.encode("latin-1")) for k, v in headers.items()
                    ),
                    usage_in_stream=provider.usage_in_stream,
                    wire=wire,
                )
            )
        return found

    def _problem(self, name: str) -> str | None:
        """Why there is no target of this name, with the nearest names; None where there is."""
        provider, colon, model = name.partition(":")
        if not colon:
            near = self._near(name, self.names())
            return f"There is no model {name!r}.{near} Hosted models are named provider:model."
        if provider == "local":
            if model in self.local:
                return None
            return f"There is no local model {model!r}.{self._near(name, self.names())}"
        if self._providers.find(provider) is None:
            near = self._near(provider, ["local", *self._providers.names()])
            broken = [f" The plugin {one} could not be loaded." for one in self._providers.broken]
            return f"There is no provider {provider!r}.{near}{''.join(broken)}"
        return None if model else f"{name!r} names no model: write {provider}:MODEL."

    @staticmethod
    def _near(name: str, names: list[str]) -> str:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        near += [one for one in names if name and one.endswith(f":{name}") and one not in near]
        return f" Did you mean {' or '.join(near)}?" if near else ""


def local_capabilities(card: LocalModel, context: int) -> Capabilities:
    """What an embedded model can do, with `context` tokens set for each call."""
    return Capabilities(
        chat=card.chat,
        embeddings=not card.chat,
        tools=card.chat,
        json_schema=card.chat,
        vision=False,
        context=min(card.context, context),
    )
