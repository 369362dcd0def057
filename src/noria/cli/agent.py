"""`noria agent`: coding agents on the models of this home."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from noria.cli._io import options
from noria.cli._io.home import open_home
from noria.cli._io.output import note
from noria.errors import NoriaError

__all__ = ["agent"]


@dataclass(slots=True)
class Start:
    """How an agent is started: what is added to its command and its environment."""

    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    """Variables that would lead it elsewhere."""


def _claude(url: str, key: str, model: str | None, login: bool, folder: Path) -> Start:
    start = Start()
    start.environment["ANTHROPIC_BASE_URL"] = url
    if login:
        start.environment["ANTHROPIC_CUSTOM_HEADERS"] = f"x-noria-key: {key}"
    else:
        start.environment["ANTHROPIC_AUTH_TOKEN"] = key
        start.environment["CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY"] = "1"
        start.removed = ("ANTHROPIC_API_KEY",)
    if model is not None:
        for name in (
            "ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL", "ANTHROPIC_DEFAULT_SONNET_MODEL",
            "ANTHROPIC_DEFAULT_HAIKU_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL",
        ):  # fmt: skip
            start.environment[name] = model
    return start


def _codex(url: str, key: str, model: str | None, login: bool, folder: Path) -> Start:
    provider = f'name = "noria", base_url = "{url}/v1", wire_api = "responses"'
    if login:
        provider += ', requires_openai_auth = true, env_http_headers = { "x-noria-key" = "%s" }'
        provider %= "NORIA_AGENT_KEY"
    else:
        provider += ', env_key = "NORIA_AGENT_KEY"'
    settings = ['model_provider="noria"', f"model_providers.noria={{ {provider} }}"]
    arguments = [word for setting in settings for word in ("-c", setting)]
    if model is not None:
        arguments += ["-m", model]
    return Start(arguments, {"NORIA_AGENT_KEY": key})


def _opencode(url: str, key: str, model: str | None, login: bool, folder: Path) -> Start:
    if login:
        raise NoriaError(
            "opencode keeps a login of its own for each provider, which noria cannot stand before.",
            "Leave --login out.",
        )
    name = model or "local:smollm2"
    settings = {
        "provider": {
            "noria": {
                "name": "noria",
                "npm": "@ai-sdk/openai-compatible",
                "options": {"baseURL": f"{url}/v1", "apiKey": "{env:NORIA_AGENT_KEY}"},
                "models": {name: {"name": name}},
            }
        },
        "model": f"noria/{name}",
        "small_model": f"noria/{name}",
    }
    return Start(
        environment={"OPENCODE_CONFIG_CONTENT": json.dumps(settings), "NORIA_AGENT_KEY": key}
    )


def _gemini(url: str, key: str, model: str | None, login: bool, folder: Path) -> Start:
    if login:
        raise NoriaError(
            "A login at Google does not go through another address.", "Leave --login out."
        )
    settings = folder / "settings.json"
    settings.write_text('{"security": {"auth": {"selectedType": "gemini-api-key"}}}')
    start = Start()
    start.environment = {
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_API_KEY": key,
        "GEMINI_CLI_SYSTEM_SETTINGS_PATH": str(settings),
    }
    start.removed = ("GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_GCA")
    if model is not None:
        start.environment["GEMINI_MODEL"] = model
    return start


_AGENTS: dict[str, tuple[str, Callable[[str, str, str | None, bool, Path], Start]]] = {
    "claude": ("@anthropic-ai/claude-code", _claude),
    "codex": ("@openai/codex", _codex),
    "opencode": ("opencode-ai", _opencode),
    "gemini": ("@google/gemini-cli", _gemini),
}
"""By name: the npm package, and how it is started."""


def agent(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="claude, codex, opencode or gemini.")],
    model: Annotated[
        str | None,
        typer.Option(help="The model that it uses for everything; left out, what it asks for."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help='The most that this session may spend, such as "2 USD".')
    ] = None,
    team: Annotated[str | None, typer.Option(help="The team that pays.")] = None,
    user: Annotated[str | None, typer.Option(help="The user that pays.")] = None,
    login: Annotated[
        bool,
        typer.Option(
            "--login",
            help="Keep the agent's own login at its provider; noria records and limits its calls.",
        ),
    ] = False,
) -> None:
    """Start a coding agent against this home, with a key of its own.

    What follows `--` goes to the agent. The key is revoked when the agent ends.
    """
    if name not in _AGENTS:
        raise NoriaError(f"There is no agent {name!r}.", f"Use one of: {', '.join(_AGENTS)}.")
    package, begin = _AGENTS[name]
    program = shutil.which(name)
    if program is None:
        raise NoriaError(f"{name} is not installed.", f"npm install -g {package}")
    limit = options.budget(budget)
    from noria.home import running_server
    from noria.store import create_key, revoke_key

    with open_home() as home:
        server = running_server(home.config.home)
        if server is None:
            raise NoriaError("noria does not run on this home.", "Start it with: noria serve")
        key, secret = create_key(home.db, team=team, user=user, budget=limit, name=f"agent {name}")
        try:
            with tempfile.TemporaryDirectory(dir=_folder()) as folder:
                start = begin(server.url, secret, model, login, Path(folder))
                status = _run([program, *start.arguments, *context.args], start)
        finally:
            revoke_key(home.db, key.id)
    note(f"{name} has ended. What it spent: noria spend --by key; what it did: noria trace ls")
    raise typer.Exit(status)


def _folder() -> Path:
    """Where settings for an agent are kept while it runs: Gemini CLI reads none that lie in a
    folder to which others may write, as `/tmp` is."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "noria" / "agents"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _run(command: list[str], start: Start) -> int:
    """Run an agent on this terminal until it ends; Ctrl-C is its own to understand."""
    environment = {
        name: value for name, value in os.environ.items() if name not in start.removed
    } | start.environment
    with subprocess.Popen(command, env=environment) as running:
        while True:
            try:
                return running.wait()
            except KeyboardInterrupt:
                continue
