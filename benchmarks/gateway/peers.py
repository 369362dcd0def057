"""The servers that are compared: how each is installed, started and asked.

Peers are installed once, each into a folder of its own under the user's cache. They record
nothing; noria authenticates, holds three budgets, journals and records every body.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from load import Target

__all__ = ["PEERS", "Peer", "Running", "mock", "noria"]

HERE = Path(sys.executable).with_name("noria")
COMPILED = Path(__file__).parents[2] / "build" / "compiled"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "noria" / "benchmarks"


@dataclass
class Running:
    """A server that answers: its process, and how to ask it."""

    pid: int
    target: Target


Start = Callable[[Path, int, int], tuple[list[str], dict[str, str], Target]]
"""From an empty folder, the mock's port and the server's: the command, its environment, and how
to ask it."""


@dataclass(frozen=True)
class Peer:
    """One server of the comparison."""

    name: str
    version: str
    install: Callable[[], None]
    start: Start
    slow: bool
    """Takes over a millisecond a request: fewer requests are measured."""
    picks_port: bool = False
    """It listens where it likes and writes the port to a file of that name."""

    @contextmanager
    def running(self, folder: Path, mock_port: int, core: set[int]) -> Iterator[Running]:
        """Start it on one core, wait until it is open, stop it at the end."""
        port = free_port()
        command, environ, target = self.start(folder, mock_port, port)
        log = folder / "log"
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command,
                cwd=folder,
                env=_environ() | environ,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, core),
            ) as process,
        ):
            try:
                if self.picks_port:
                    target = replace(target, port=_picked(folder / "port", process))
                wait_open(target.port, process)
                yield Running(process.pid, target)
            except BaseException:
                print(log.read_text(errors="replace")[-2000:], file=sys.stderr)
                raise
            finally:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


def _picked(file: Path, process: subprocess.Popen[bytes], limit_s: float = 60.0) -> int:
    until = time.monotonic() + limit_s
    while time.monotonic() < until and process.poll() is None:
        if file.is_file():
            return int(file.read_text())
        time.sleep(0.1)
    raise RuntimeError("it did not say where it listens")


def _environ() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "XDG_CACHE_HOME", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


@contextmanager
def mock(core: int) -> Iterator[int]:
    """The mock upstream, on a core of its own or the load's. Gives its port."""
    port = free_port()
    script = Path(__file__).with_name("mock.py")
    with subprocess.Popen([sys.executable, script, str(port), str(core)]) as process:
        try:
            wait_open(port, process)
            yield port
        finally:
            process.terminate()


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_open(port: int, process: subprocess.Popen[bytes], limit_s: float = 120.0) -> None:
    """Wait until a server accepts connections.

    Raises:
        RuntimeError: it ended or did not open in time.
    """
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode} before it was open")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"it was not open after {limit_s:.0f} s")


def _venv(name: str, *requirements: str) -> None:
    """A virtual environment of its own, made once."""
    folder = CACHE / name
    if (folder / "installed").is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    print(f"installing {', '.join(requirements)} into {folder}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--disable-pip-version-check", *requirements], check=True)
    (folder / "installed").touch()


# noria


def noria(command: Path, modules: Path | None = None) -> Start:
    """How to start a `noria` command; with `modules`, that are looked for there before its own."""
    return partial(_start_noria, command, {"PYTHONPATH": str(modules)} if modules else {})


def _start_noria(
    noria: Path, environ: dict[str, str], folder: Path, mock_port: int, port: int
) -> tuple[list[str], dict[str, str], Target]:
    config = folder / "noria.toml"
    config.write_text(
        f"""\
[server]
port = {port}

[providers.mock]
base_url = "http://127.0.0.1:{mock_port}/v1"

[prices."mock:bench"]
input = 1.0
output = 4.0

[budgets]
installation = "1000000 USD/month"

[teams.bench]
budget = "1000000 USD/week"
"""
    )
    made = subprocess.run(
        [noria, "key", "create", "--team", "bench", "--budget", "1000000 USD/day", "--json"],
        cwd=folder,
        env=_environ() | environ,
        capture_output=True,
        check=True,
    )
    secret = json.loads(made.stdout)["key"]
    headers = {"authorization": f"Bearer {secret}"}
    target = Target(port, "/v1/chat/completions", "mock:bench", headers)
    return [str(noria), "serve"], environ, target


def _find_compiled() -> None:
    if not COMPILED.is_dir():
        raise RuntimeError(f"there is no {COMPILED}; `make wheel` makes it")


# TensorZero: a Rust gateway whose wheel can serve HTTP


def _start_tensorzero(
    folder: Path, mock_port: int, port: int
) -> tuple[list[str], dict[str, str], Target]:
    (folder / "tensorzero.toml").write_text(
        f"""\
[gateway]
observability.enabled = false

[models.bench]
routing = ["mock"]

[models.bench.providers.mock]
type = "openai"
model_name = "bench"
api_base = "http://127.0.0.1:{mock_port}/v1/"
api_key_location = "none"
"""
    )
    (folder / "serve.py").write_text(
        """\
import os, time, urllib.parse
from tensorzero.tensorzero import _start_http_gateway

gateway = _start_http_gateway(
    config_file="tensorzero.toml",
    clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False,
)
with open("port.part", "w") as file:
    file.write(str(urllib.parse.urlsplit(gateway.base_url).port))
os.rename("port.part", "port")
time.sleep(3600)
"""
    )
    python = CACHE / "tensorzero" / "bin" / "python"
    target = Target(port, "/openai/v1/chat/completions", "tensorzero::model_name::bench")
    return [str(python), "serve.py"], {}, target


# LiteLLM's proxy


def _start_litellm(
    folder: Path, mock_port: int, port: int
) -> tuple[list[str], dict[str, str], Target]:
    secret = f"sk-{secrets.token_hex(32)}"  # It does not start without one.
    config = {
        "model_list": [
            {
                "model_name": "bench",
                "litellm_params": {
                    "model": "openai/bench",
                    "api_base": f"http://127.0.0.1:{mock_port}/v1",
                    "api_key": "any",
                },
            }
        ],
        "litellm_settings": {"telemetry": False},
        "general_settings": {"master_key": secret},
    }
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML.
    command = [
        str(CACHE / "litellm" / "bin" / "litellm"),
        *("--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port)),
        *("--num_workers", "1", "--telemetry", "False"),
    ]
    environ = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    headers = {"authorization": f"Bearer {secret}"}
    return command, environ, Target(port, "/v1/chat/completions", "bench", headers)


# Portkey's gateway, where node is


def _install_portkey() -> None:
    folder = CACHE / "portkey"
    if (folder / "installed").is_file():
        return
    if shutil.which("npm") is None:
        raise RuntimeError("there is no npm here")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"installing Portkey into {folder}", flush=True)
    # Its streams break with newer releases of these two.
    pins = {"hono": "4.6.10", "@hono/node-server": "1.3.3"}
    package = {
        "private": True,
        "dependencies": {"@portkey-ai/gateway": "1.15.2"} | pins,
        "overrides": pins,
    }
    (folder / "package.json").write_text(json.dumps(package))
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--silent", "--ignore-scripts"],
        cwd=folder,
        check=True,
    )
    (folder / "installed").touch()


def _start_portkey(
    folder: Path, mock_port: int, port: int
) -> tuple[list[str], dict[str, str], Target]:
    script = CACHE / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
    headers = {
        "authorization": "Bearer any",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{mock_port}/v1",
    }
    environ = {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
    command = ["node", str(script), "--headless", f"--port={port}"]
    return command, environ, Target(port, "/v1/chat/completions", "bench", headers)


PEERS = {
    "noria": Peer("noria", "this checkout", lambda: None, noria(HERE), slow=False),
    "compiled": Peer("noria", "the wheel", _find_compiled, noria(HERE, COMPILED), slow=False),
    "tensorzero": Peer(
        "TensorZero",
        "2026.6.0",
        lambda: _venv("tensorzero", "tensorzero==2026.6.0"),
        _start_tensorzero,
        slow=False,
        picks_port=True,
    ),
    "portkey": Peer("Portkey", "1.15.2", _install_portkey, _start_portkey, slow=True),
    "litellm": Peer(
        "LiteLLM",
        "1.108.7",
        lambda: _venv("litellm", "litellm[proxy]==1.108.7"),
        _start_litellm,
        slow=True,
    ),
}
