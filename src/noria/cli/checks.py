"""What `noria doctor` looks at. Each check gives findings: what is, and what to do about it."""

from __future__ import annotations

import contextlib
import enum
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from noria.errors import ApiError, NoriaError

if TYPE_CHECKING:
    from noria.config import Config, Provider
    from noria.models import Catalogue

__all__ = ["Finding", "Health", "examine"]

_SAFE_SQLITE = (3, 51, 3)
_WEIGHTS_BYTES = 1_000_000_000
_MEMORY_BYTES = 1_500_000_000
_REACH_SECONDS = 5.0


class Health(enum.StrEnum):
    """How a finding is meant: only a problem makes `doctor` fail."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    health: Health
    detail: str
    remedy: str | None = None


def examine() -> Iterator[Finding]:
    """Look at the machine, the configuration, the home, the providers and the server."""
    yield from _machine()
    from noria.config import load

    try:
        config = load()
    except NoriaError as wrong:
        yield _problem("configuration", wrong)
        return
    yield from _configuration(config)
    yield from _home(config)
    yield from _database(config)
    yield from _models(config)
    yield from _server(config)


def _machine() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", Health.OK, f"{version} at {sys.executable}")
    if sqlite3.sqlite_version_info < _SAFE_SQLITE:
        yield Finding(
            "sqlite",
            Health.OK,
            f"{sqlite3.sqlite_version}: older than 3.51.3, so noria lets one process write at a "
            "time (never open noria.db for writing with another tool while it runs)",
        )
    else:
        yield Finding("sqlite", Health.OK, sqlite3.sqlite_version)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("cores", Health.OK, f"{cores}")
    memory = _memory()
    if memory is not None and memory < _MEMORY_BYTES:
        yield Finding(
            "memory",
            Health.NOTE,
            f"{_size(memory)} are free",
            "The server takes about 0.2 GB and each embedded model 0.5 GB: close something, or "
            "use hosted models only.",
        )
    elif memory is not None:
        yield Finding("memory", Health.OK, f"{_size(memory)} are free")
    yield from _descriptors()


def _descriptors() -> Iterator[Finding]:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = soft != resource.RLIM_INFINITY and soft < 4096
    yield Finding(
        "open files",
        Health.NOTE if low else Health.OK,
        f"{soft:,} at once (at most {hard:,})",
        "Each connection takes one or two; raise it before heavy use: ulimit -n 65536"
        if low
        else None,
    )


def _memory() -> int | None:
    """Bytes that can still be had, under the container's limit too; None where nobody says."""
    free: list[int] = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        free.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text())
        free.append(most - int((group / "memory.current").read_text()))
    return min(free, default=None)


def _configuration(config: Config) -> Iterator[Finding]:
    from noria.config import variables

    where = str(config.source) if config.source else "no noria.toml, so the defaults hold"
    yield Finding("configuration", Health.OK, where)
    known = {"NORIA_HOME", "NORIA_CONFIG", "NORIA_KEY", "NORIA_ADMIN_KEY", *variables()}
    for name in sorted(os.environ):
        if name.startswith("NORIA_") and name not in known:
            yield Finding(
                "configuration",
                Health.NOTE,
                f"the environment variable {name} means nothing to noria",
                "See docs/reference/configuration.md for those that do.",
            )


def _home(config: Config) -> Iterator[Finding]:
    home = config.home
    if not home.exists():
        yield Finding("home", Health.OK, f"{home} will be made at the first start")
        home = next(folder for folder in home.parents if folder.exists())
    else:
        mode = stat.S_IMODE(home.stat().st_mode)
        if mode & 0o077:
            yield Finding(
                "home",
                Health.PROBLEM,
                f"{home} can be read by other users of this machine (mode {mode:04o})",
                f"chmod 700 {home}",
            )
        elif not os.access(home, os.W_OK):
            yield Finding(
                "home",
                Health.PROBLEM,
                f"{home} cannot be written to",
                "Make it yours (chown), or set NORIA_HOME to another folder.",
            )
        else:
            yield Finding("home", Health.OK, str(home))
    free = shutil.disk_usage(home).free
    yield Finding(
        "disk",
        Health.OK if free > _WEIGHTS_BYTES else Health.PROBLEM,
        f"{_size(free)} are free for {home}",
        None if free > _WEIGHTS_BYTES else "Free at least 1 GB: records and weights need it.",
    )


def _database(config: Config) -> Iterator[Finding]:
    if not config.home.exists() and config.store.url is None:
        return
    from noria.store import open_database

    try:
        db = open_database(config)
        with db.read():
            yield Finding("database", Health.OK, str(db))
        db.close()
    except NoriaError as away:
        yield _problem("database", away)


def _models(config: Config) -> Iterator[Finding]:
    from noria.models import Catalogue

    try:
        catalogue = Catalogue(config)
    except NoriaError as wrong:
        yield _problem("models", wrong)
        return
    yield from _prices(config, catalogue)
    providers = _providers_in_use(config)
    with ThreadPoolExecutor(8) as pool:
        yield from pool.map(lambda item: _reach(*item), providers.items())


def _prices(config: Config, catalogue: Catalogue) -> Iterator[Finding]:
    """A model without a price cannot be used under a money budget: say so before it is."""
    budgets = config.budgets
    named = [*config.teams.values(), *config.users.values()]
    everywhere = budgets.installation is not None or any(one.budget for one in named)
    names = [*config.models, *budgets.models] if everywhere else list(budgets.models)
    for name in dict.fromkeys(names):
        try:
            route = config.models.get(name)
            targets = [catalogue.target(one) for one in (route.targets if route else [name])]
        except ApiError as unknown:
            yield _problem("prices", unknown)
            continue
        for target in targets:
            if target.price is None:
                yield Finding(
                    "prices",
                    Health.PROBLEM,
                    f"the price of {target.name} is unknown, so it cannot be called on a budget",
                    f'Add to noria.toml, in USD per million tokens: [prices."{target.name}"] '
                    "input = ..., output = ...",
                )


def _providers_in_use(config: Config) -> dict[str, Provider]:
    """The providers of the file, those that its routes name, and those whose key is set."""
    from noria.models.providers import KNOWN

    named = {
        target.partition(":")[0] for route in config.models.values() for target in route.targets
    }
    found = dict(config.providers)
    for name, known in KNOWN.items():
        if name not in found and (name in named or os.environ.get(known.api_key_env or "")):
            found[name] = known.settings
    return found


def _reach(name: str, provider: Provider) -> Finding:
    """Ask a provider for its list of models, which costs nothing."""
    import httpx2

    check = f"provider {name}"
    variable = provider.api_key_env
    key = os.environ.get(variable) if variable else None
    if variable and not key:
        return Finding(
            check,
            Health.PROBLEM,
            f"{variable} is not set",
            f"Set it where noria is started: export {variable}=...",
        )
    headers = provider.headers | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        answer = httpx2.get(
            f"{provider.base_url.rstrip('/')}/models", headers=headers, timeout=_REACH_SECONDS
        )
    except httpx2.HTTPError as lost:
        return Finding(
            check,
            Health.PROBLEM,
            f"{provider.base_url} cannot be reached: {lost or type(lost).__name__}",
            "Check the address, that the server runs, and the way to it (proxy, firewall).",
        )
    if answer.status_code in (401, 403):
        return Finding(
            check,
            Health.PROBLEM,
            f"{provider.base_url} refuses the key ({answer.status_code})",
            f"Check the key in {variable}." if variable else "Set api_key_env for it.",
        )
    if answer.status_code >= 500:
        return Finding(
            check,
            Health.PROBLEM,
            f"{provider.base_url} answers {answer.status_code}",
            "It has trouble of its own; try again later.",
        )
    return Finding(check, Health.OK, f"{provider.base_url} answers")


def _server(config: Config) -> Iterator[Finding]:
    from noria.cli.home import running_server

    url = running_server(config.home)
    if url:
        yield Finding("server", Health.OK, f"runs at {url}")
    else:
        yield Finding("server", Health.OK, "does not run; start it with: noria serve")


def _problem(check: str, failure: NoriaError) -> Finding:
    return Finding(check, Health.PROBLEM, failure.message, failure.remedy)


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
